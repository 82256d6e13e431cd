//! Errors on the wire: one envelope, one table (contract section 2).
//!
//! `detail` is for the partner's developer. The cause is for the log, which finds it under the request id that the body
//! shows. Bodies of 5xx answers say nothing of the inside.

use std::error::Error;
use std::sync::Arc;

use axum::http::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::domain::invalid::{Fault, Faults, Invalid};

/// Every error that an answer can carry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ErrorCode {
    InvalidJson,
    TypeError,
    ValidationError,
    TokenRequired,
    InvalidToken,
    InvalidTan,
    UnauthorizedAction,
    NotFound,
    ModelNotFound,
    MethodNotAllowed,
    PayloadTooLarge,
    UnsupportedMediaType,
    MobileNumberExists,
    DeviceLimitExceeded,
    KeyAlreadyRegistered,
    KeyLimitExceeded,
    Conflict,
    IdempotencyKeyReused,
    TooManyRequests,
    GenericError,
    BadGateway,
    ServiceUnavailable,
}

impl ErrorCode {
    /// The table: status, `code` and `title`.
    pub(crate) fn row(self) -> (StatusCode, &'static str, &'static str) {
        use ErrorCode as E;
        use StatusCode as S;
        match self {
            E::InvalidJson => (S::BAD_REQUEST, "invalid_json", "Invalid JSON"),
            E::TypeError => (S::BAD_REQUEST, "type_error", "Type Error"),
            E::ValidationError => (S::BAD_REQUEST, "validation_error", "Validation Error"),
            E::TokenRequired => (S::UNAUTHORIZED, "token_required", "Token Required"),
            E::InvalidToken => (S::UNAUTHORIZED, "invalid_token", "Invalid Token"),
            E::InvalidTan => (S::FORBIDDEN, "invalid_tan", "Invalid TAN"),
            E::UnauthorizedAction => (S::FORBIDDEN, "unauthorized_action", "Unauthorized Action"),
            E::NotFound => (S::NOT_FOUND, "not_found", "Not Found"),
            E::ModelNotFound => (S::NOT_FOUND, "model_not_found", "Model Not Found"),
            E::MethodNotAllowed => (S::METHOD_NOT_ALLOWED, "method_not_allowed", "Method Not Allowed"),
            E::PayloadTooLarge => (S::PAYLOAD_TOO_LARGE, "payload_too_large", "Payload Too Large"),
            E::UnsupportedMediaType => (S::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "Unsupported Media Type"),
            E::MobileNumberExists => (S::CONFLICT, "mobile_number_exists", "Mobile Number Exists"),
            E::DeviceLimitExceeded => (S::CONFLICT, "device_limit_exceeded", "Device Limit Exceeded"),
            E::KeyAlreadyRegistered => (S::CONFLICT, "key_already_registered", "Key Already Registered"),
            E::KeyLimitExceeded => (S::CONFLICT, "key_limit_exceeded", "Key Limit Exceeded"),
            E::Conflict => (S::CONFLICT, "conflict", "Conflict"),
            E::IdempotencyKeyReused => (S::UNPROCESSABLE_ENTITY, "idempotency_key_reused", "Idempotency Key Reused"),
            E::TooManyRequests => (S::TOO_MANY_REQUESTS, "too_many_requests", "Too Many Requests"),
            E::GenericError => (S::INTERNAL_SERVER_ERROR, "generic_error", "Internal Server Error"),
            E::BadGateway => (S::BAD_GATEWAY, "bad_gateway", "Bad Gateway"),
            E::ServiceUnavailable => (S::SERVICE_UNAVAILABLE, "service_unavailable", "Service Unavailable"),
        }
    }
}

/// An error on its way out. As a response it is an empty shell that carries itself; the request log, which knows the
/// request id, writes the body.
#[derive(Clone, Debug)]
pub(crate) struct ApiError(Box<Parts>);

#[derive(Clone, Debug)]
struct Parts {
    details: Vec<Detail>,
    headers: HeaderMap,
    cause: Option<Arc<dyn Error + Send + Sync>>,
}

#[derive(Clone, Debug)]
struct Detail {
    code: ErrorCode,
    text: String,
    field: Option<String>,
}

impl ApiError {
    /// An error with a text for the partner's developer.
    pub(crate) fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        let detail = Detail { code, text: detail.into(), field: None };
        Self(Box::new(Parts { details: vec![detail], headers: HeaderMap::new(), cause: None }))
    }

    /// Our own fault.
    pub(crate) fn internal(cause: impl Error + Send + Sync + 'static) -> Self {
        Self::new(ErrorCode::GenericError, "something went wrong on our side").caused_by(cause)
    }

    /// A handler that panicked. The panic itself was logged where it happened.
    pub(crate) fn panicked() -> Self {
        Self::new(ErrorCode::GenericError, "something went wrong on our side")
    }

    /// Not now, but soon.
    pub(crate) fn unavailable(retry_after_seconds: u64) -> Self {
        Self::new(ErrorCode::ServiceUnavailable, "the service is not available right now, please try again")
            .with_header(RETRY_AFTER, HeaderValue::from(retry_after_seconds))
    }

    /// Too much of something; come back later (RFC 6585 section 4).
    pub(crate) fn too_many_requests(detail: &str, retry_after_seconds: u64) -> Self {
        Self::new(ErrorCode::TooManyRequests, detail).with_header(RETRY_AFTER, HeaderValue::from(retry_after_seconds))
    }

    /// Another request was faster again and again, or the first request with this idempotency key still runs.
    pub(crate) fn conflict(detail: &str, retry_after_seconds: u64) -> Self {
        Self::new(ErrorCode::Conflict, detail).with_header(RETRY_AFTER, HeaderValue::from(retry_after_seconds))
    }

    /// The request carries no token.
    pub(crate) fn token_required() -> Self {
        let detail = "send an access token: Authorization: Bearer ...";
        Self::new(ErrorCode::TokenRequired, detail).with_challenge("Bearer realm=\"device-management\"")
    }

    /// The request's token is not valid now.
    pub(crate) fn invalid_token() -> Self {
        Self::new(ErrorCode::InvalidToken, "the access token is invalid or expired")
            .with_challenge("Bearer realm=\"device-management\", error=\"invalid_token\"")
    }

    /// The request's token is valid, and does not allow this.
    pub(crate) fn insufficient_token(detail: impl Into<String>) -> Self {
        Self::new(ErrorCode::UnauthorizedAction, detail)
            .with_challenge("Bearer realm=\"device-management\", error=\"insufficient_scope\", scope=\"partners\"")
    }

    /// How the client is to authenticate, and what was wrong with the token if it sent one (RFC 6750 section 3).
    fn with_challenge(self, challenge: &'static str) -> Self {
        self.with_header(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    }

    /// For the log only.
    pub(crate) fn caused_by(mut self, cause: impl Error + Send + Sync + 'static) -> Self {
        self.0.cause = Some(Arc::new(cause));
        self
    }

    pub(crate) fn with_header(mut self, name: axum::http::HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    /// The `code` that the log line shows; the first when there are several.
    pub(crate) fn code(&self) -> &'static str {
        self.first().row().1
    }

    pub(crate) fn cause(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        self.0.cause.as_deref()
    }

    fn first(&self) -> ErrorCode {
        self.0.details.first().map_or(ErrorCode::GenericError, |detail| detail.code)
    }

    /// The answer, under the id of its request.
    pub(crate) fn render(&self, request_id: &str) -> Response {
        let (status, ..) = self.first().row();
        let errors = self.0.details.iter().map(|detail| ErrorView::new(detail, request_id)).collect();
        let body = serde_json::to_vec(&Envelope { errors }).expect("strings and numbers are always JSON");
        let mut response = (status, body).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response.headers_mut().extend(self.0.headers.clone());
        response
    }
}

impl From<Faults> for ApiError {
    fn from(faults: Faults) -> Self {
        let details = faults.into_iter().map(Detail::from).collect();
        Self(Box::new(Parts { details, headers: HeaderMap::new(), cause: None }))
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
    fn into_response(self) -> Response {
        let (status, ..) = self.first().row();
        let mut response = status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Keeps the `Allow` header, which the router knows, on the error that replaces its answer.
pub(crate) fn keep_allow(from: &HeaderMap, to: &mut Response) {
    if let Some(allow) = from.get(ALLOW) {
        to.headers_mut().insert(ALLOW, allow.clone());
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
