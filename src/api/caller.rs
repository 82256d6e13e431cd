//! Who calls: a handler that asks for an [`Authenticated`] caller cannot be reached without a valid token.

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use tracing::{Span, record_all};

use super::App;
use super::error::{ApiError, ErrorCode};
use crate::domain::client::Caller;

/// A caller that has shown a valid token.
pub(super) struct Authenticated(pub(super) Caller);

impl FromRequestParts<App> for Authenticated {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        // Shown before, to whoever looked at the request's idempotency key.
        if let Some(caller) = parts.extensions.get::<Caller>() {
            return Ok(Self(caller.clone()));
        }
        let token = bearer_token(parts)?;
        let caller = app.tokens.verify(token).await?;
        name_caller(&caller);
        parts.extensions.insert(caller.clone());
        Ok(Self(caller))
    }
}

/// Says in every line of the request whose it is.
pub(super) fn name_caller(caller: &Caller) {
    // Both at once: as JSON the span's fields are read and written anew for each time that some are added.
    record_all!(Span::current(), partner = caller.partner.as_str(), client = caller.client_id.as_str());
}

/// RFC 6750 section 2.1; the scheme's name in any case (RFC 9110 section 11.1).
fn bearer_token(parts: &Parts) -> Result<&str, ApiError> {
    let missing =
        || ApiError::unauthorized(ErrorCode::TokenRequired, "send an access token: Authorization: Bearer ...");
    let header = parts.headers.get(AUTHORIZATION).ok_or_else(missing)?;
    let (scheme, token) = header.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(missing)?;
    let token = token.trim();
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
        return Err(missing());
    }
    Ok(token)
}
