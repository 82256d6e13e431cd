//! `Idempotency-Key`: of several requests with the same key one is executed, and the others get its answer.
//!
//! The key is scoped to client, method and path, so it is read after authentication. The stored value is the outcome of
//! the use case, not the HTTP answer: the same code renders the first answer and its repetitions.

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::HeaderMap;
use axum::http::header::HeaderName;

use super::App;
use super::body::{JsonBody, of_the_api, require_json};
use super::caller::Authenticated;
use super::error::ApiError;
use super::path::PathIds;
use super::refusals::ErrorCode;
use super::request_log::RequestId;
use crate::domain::idempotency::{KEY_MAX, scope};
use crate::service::RepeatableRequest;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A changing request, which has its effect once if it has an idempotency key.
pub(super) struct Once {
    /// The identity of the request; `None` without a key.
    pub(super) repeatable: Option<RepeatableRequest>,
    /// Its body.
    pub(super) body: JsonBody,
}

impl FromRequest<App> for Once {
    type Rejection = ApiError;

    /// Checks the key, the media type and the size, in this order. Faults in the body are reported after the claim.
    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let (mut parts, body) = request.into_parts();
        let key = idempotency_key(&parts.headers)?.map(str::to_owned);
        require_json(&parts.headers)?;
        let body = of_the_api(body, app).await?;
        let repeatable = match key {
            None => None,
            Some(key) => {
                let Authenticated(caller) = Authenticated::from_request_parts(&mut parts, app).await?;
                let Ok(ids) = PathIds::from_request_parts(&mut parts, app).await;
                let (method, path) = (parts.method.as_str(), parts.uri.path());
                let request_id = parts.extensions.get().map(RequestId::as_str).unwrap_or_default();
                Some(RepeatableRequest {
                    scope: scope(&caller.partner, &caller.client_id, method, path, &key),
                    digests: app.request_digests.of(parts.uri.query().unwrap_or_default(), &body),
                    person: ids.person().ok(),
                    request_id: request_id.to_owned(),
                })
            }
        };
        Ok(Self { repeatable, body: JsonBody::parse(&body) })
    }
}

/// 1 to 255 visible ASCII characters, once; `None` when the request has no key.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let is_key = |key: &&str| (1..=KEY_MAX).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
    let key = value.to_str().ok().filter(is_key).filter(|_| values.next().is_none());
    key.map(Some).ok_or_else(|| {
        let detail = format!("Idempotency-Key must be one value of 1 to {KEY_MAX} visible ASCII characters");
        ApiError::new(ErrorCode::ValidationError, detail)
    })
}
