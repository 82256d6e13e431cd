//! JSON bodies: the right media type, a bounded size, an object.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;

use super::error::{ApiError, ErrorCode};
use super::fields::Fields;
use crate::domain::invalid::Faults;

/// A JSON body. What is wrong inside it is kept for the handler, which may have to answer something else first.
pub(crate) struct JsonBody(pub(crate) Result<Fields, Faults>);

impl JsonBody {
    /// Reads a value out of the body.
    pub(crate) fn read<T>(self, read: impl FnOnce(Fields) -> Result<T, Faults>) -> Result<T, Faults> {
        self.0.and_then(read)
    }
}

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        require_json(&request)?;
        Ok(Self(Fields::parse(&bytes(request, state).await?)))
    }
}

/// A JSON body, or none at all.
pub(crate) struct OptionalJsonBody(pub(crate) Option<JsonBody>);

impl<S: Send + Sync> FromRequest<S> for OptionalJsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let is_json = require_json(&request);
        let body = bytes(request, state).await?;
        if body.is_empty() {
            return Ok(Self(None));
        }
        is_json?;
        Ok(Self(Some(JsonBody(Fields::parse(&body)))))
    }
}

/// Without a content type the body is taken for what it must be: some clients leave it out.
fn require_json(request: &Request) -> Result<(), ApiError> {
    let is_json = media_type(request).is_none_or(|essence| {
        essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
    });
    is_json.then_some(()).ok_or_else(|| unsupported("application/json"))
}

/// The same for a form: what another media type says would be read as a form without fields.
pub(crate) fn require_form(request: &Request) -> Result<(), ApiError> {
    const FORM: &str = "application/x-www-form-urlencoded";
    media_type(request).is_none_or(|essence| essence == FORM).then_some(()).ok_or_else(|| unsupported(FORM))
}

fn unsupported(wanted: &str) -> ApiError {
    ApiError::new(ErrorCode::UnsupportedMediaType, format!("send the body as {wanted}"))
}

/// The media type in lower case, without its parameters.
fn media_type(request: &Request) -> Option<String> {
    let value = request.headers().get(CONTENT_TYPE)?;
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    Some(essence.trim().to_ascii_lowercase())
}

/// The whole body, if it keeps to the size limit that the router sets.
pub(crate) async fn bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ApiError> {
    Bytes::from_request(request, state).await.map_err(|rejection| {
        if rejection.status() == ErrorCode::PayloadTooLarge.row().0 {
            ApiError::new(ErrorCode::PayloadTooLarge, "the body is too large")
        } else {
            // The client broke off; nobody will read this.
            ApiError::new(ErrorCode::InvalidJson, "the body broke off")
        }
    })
}
