//! Authentication: checks the bearer token before the rest of a request. Handlers extract the [`Authenticated`] caller.
//!
//! The check may wait for the identity provider's keys. The request holds no admission permit meanwhile.

use axum::extract::{FromRequestParts, Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::{Span, record_all};

use super::App;
use super::error::ApiError;
use crate::domain::clients::Caller;
use crate::traces;

/// Middleware of every API route: refuses a request without a valid token.
pub(super) async fn around(State(app): State<App>, mut request: Request, next: Next) -> Response {
    match authenticate(&app, request.headers()).await {
        Ok(caller) => {
            name_caller(&caller);
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(error) => error.into_response(),
    }
}

async fn authenticate(app: &App, headers: &HeaderMap) -> Result<Caller, ApiError> {
    Ok(app.tokens.verify(bearer_token(headers)?).await?)
}

/// The caller of a request with a valid token.
pub(super) struct Authenticated(pub(super) Caller);

impl<S: Send + Sync> FromRequestParts<S> for Authenticated {
    type Rejection = ApiError;

    /// Refuses the request on a route without [`around`]: it has no caller.
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        parts.extensions.get::<Caller>().cloned().map(Self).ok_or_else(ApiError::token_required)
    }
}

/// Adds partner and client to the span, and so to every log line of the request.
pub(super) fn name_caller(caller: &Caller) {
    // In one call: the JSON layer serialises the span's fields again for each call.
    record_all!(Span::current(), partner = caller.partner.as_str(), client = caller.client_id.as_str());
    traces::name_caller(caller.partner.as_str(), &caller.client_id);
}

/// RFC 6750 section 2.1; the scheme is case-insensitive (RFC 9110 section 11.1). Two headers are refused: a proxy may
/// have checked the other one.
fn bearer_token(headers: &HeaderMap) -> Result<&str, ApiError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let header = values.next().filter(|_| values.next().is_none()).and_then(|value| value.to_str().ok());
    let (scheme, token) = header.and_then(|text| text.split_once(' ')).ok_or_else(ApiError::token_required)?;
    let token = token.trim();
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
        return Err(ApiError::token_required());
    }
    Ok(token)
}
