//! The error envelope. The table of error codes is in `refusals`.
//!
//! `detail` is for the developers of clients. The cause goes to the log only, under the request id that the body has.
//! The body of a 5xx answer has no internal details.

use std::error::Error;
use std::fmt::Display;
use std::sync::Arc;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::refusals::ErrorCode;
use crate::domain::invalid::{Fault, Faults, Invalid};

/// An error answer. Its response has status and headers, no body, and the error itself as an extension; `request_log`,
/// which knows the request id, writes the body.
#[derive(Clone, Debug)]
pub(crate) struct ApiError(Box<Parts>);

#[derive(Clone, Debug)]
struct Parts {
    details: Vec<Detail>,
    headers: HeaderMap,
    cause: Option<Arc<dyn Error + Send + Sync>>,
    first_request: Option<String>,
}

#[derive(Clone, Debug)]
struct Detail {
    code: ErrorCode,
    text: String,
    field: Option<String>,
}

impl ApiError {
    /// An error with a detail for the developers of clients.
    pub(crate) fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        let detail = Detail { code, text: detail.into(), field: None };
        Self(Box::new(Parts { details: vec![detail], headers: HeaderMap::new(), cause: None, first_request: None }))
    }

    /// An internal error.
    pub(crate) fn internal(cause: impl Error + Send + Sync + 'static) -> Self {
        Self::new(ErrorCode::GenericError, "internal server error").caused_by(cause)
    }

    /// A handler panicked. The panic hook has logged the panic.
    pub(crate) fn panicked() -> Self {
        Self::new(ErrorCode::GenericError, "internal server error")
    }

    /// The service is temporarily unavailable.
    pub(crate) fn unavailable(retry_after_seconds: u64) -> Self {
        Self::new(ErrorCode::ServiceUnavailable, "the service is not available right now, please try again")
            .with_header(RETRY_AFTER, HeaderValue::from(retry_after_seconds))
    }

    /// A rate limit or cool-down (RFC 6585 section 4).
    pub(crate) fn too_many_requests(detail: &str, retry_after_seconds: u64) -> Self {
        Self::new(ErrorCode::TooManyRequests, detail).with_header(RETRY_AFTER, HeaderValue::from(retry_after_seconds))
    }

    /// The request lost a race several times, or the first request with this idempotency key is still running.
    pub(crate) fn conflict(detail: &str, retry_after_seconds: u64) -> Self {
        Self::new(ErrorCode::Conflict, detail).with_header(RETRY_AFTER, HeaderValue::from(retry_after_seconds))
    }

    /// The request has no token.
    pub(crate) fn token_required() -> Self {
        let detail = "send an access token: Authorization: Bearer ...";
        Self::new(ErrorCode::TokenRequired, detail).with_challenge("Bearer realm=\"device-management\"")
    }

    /// The request's token is invalid or expired.
    pub(crate) fn invalid_token() -> Self {
        Self::new(ErrorCode::InvalidToken, "the access token is invalid or expired")
            .with_challenge("Bearer realm=\"device-management\", error=\"invalid_token\"")
    }

    /// The request's token is valid, but does not allow this request.
    pub(crate) fn insufficient_token(detail: impl Into<String>) -> Self {
        Self::new(ErrorCode::UnauthorizedAction, detail)
            .with_challenge("Bearer realm=\"device-management\", error=\"insufficient_scope\", scope=\"partners\"")
    }

    /// Adds the authentication scheme, and the error of the token if there was one (RFC 6750 section 3).
    fn with_challenge(self, challenge: &'static str) -> Self {
        self.with_header(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    }

    /// Adds the cause, for the log only.
    pub(crate) fn caused_by(mut self, cause: impl Error + Send + Sync + 'static) -> Self {
        self.0.cause = Some(Arc::new(cause));
        self
    }

    /// Adds an explanation to the detail.
    pub(crate) fn explained(mut self, explanation: &impl Display) -> Self {
        for detail in &mut self.0.details {
            detail.text = format!("{}: {explanation}", detail.text);
        }
        self
    }

    pub(crate) fn with_header(mut self, name: axum::http::HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    /// Sets the id of the first request, for the repetition of a stored outcome.
    pub(crate) fn under(mut self, first_request: Option<String>) -> Self {
        self.0.first_request = first_request;
        self
    }

    /// The `code` for the log line; the first if there are several.
    pub(crate) fn code(&self) -> &'static str {
        self.first().row().1
    }

    pub(crate) fn cause(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        self.0.cause.as_deref()
    }

    fn first(&self) -> ErrorCode {
        self.0.details.first().map_or(ErrorCode::GenericError, |detail| detail.code)
    }

    /// Writes the body of the answer, with the id of the request.
    pub(crate) fn write_to(&self, answer: &mut Response, request_id: &str) {
        let request_id = self.0.first_request.as_deref().unwrap_or(request_id);
        let errors = self.0.details.iter().map(|detail| ErrorView::new(detail, request_id)).collect();
        let body = serde_json::to_vec(&Envelope { errors }).expect("strings and numbers are always JSON");
        // The router has set the length of the empty body.
        answer.headers_mut().remove(CONTENT_LENGTH);
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        *answer.body_mut() = Body::from(body);
    }
}

impl From<Faults> for ApiError {
    fn from(faults: Faults) -> Self {
        let details = faults.into_iter().map(Detail::from).collect();
        Self(Box::new(Parts { details, headers: HeaderMap::new(), cause: None, first_request: None }))
    }
}

impl From<Invalid> for Detail {
    fn from(invalid: Invalid) -> Self {
        let code = match invalid.fault {
            Fault::NotJson => ErrorCode::InvalidJson,
            Fault::Type => ErrorCode::TypeError,
            Fault::Value => ErrorCode::ValidationError,
        };
        Self { code, text: invalid.message, field: invalid.field.map(Into::into) }
    }
}

impl IntoResponse for ApiError {
    fn into_response(mut self) -> Response {
        let (status, ..) = self.first().row();
        let mut response = status.into_response();
        response.headers_mut().extend(std::mem::take(&mut self.0.headers));
        response.extensions_mut().insert(self);
        response
    }
}

#[derive(Serialize)]
struct Envelope<'a> {
    errors: Vec<ErrorView<'a>>,
}

#[derive(Serialize)]
struct ErrorView<'a> {
    id: &'a str,
    status: u16,
    code: &'static str,
    title: &'static str,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<Source<'a>>,
}

#[derive(Serialize)]
struct Source<'a> {
    field: &'a str,
    message: &'a str,
}

impl<'a> ErrorView<'a> {
    fn new(detail: &'a Detail, request_id: &'a str) -> Self {
        let (status, code, title) = detail.code.row();
        let source = detail.field.as_deref().map(|field| Source { field, message: &detail.text });
        Self { id: request_id, status: status.as_u16(), code, title, detail: &detail.text, source }
    }
}
