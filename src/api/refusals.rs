//! The table of error codes, and the mapping of refusals and failures to them.
//!
//! The matches have no catch-all: a new refusal does not compile until it is mapped here.

use axum::http::StatusCode;

use super::challenges::devices::UNKNOWN_DEVICE;
use super::error::ApiError;
use super::path::PathIds;
use crate::auth::TokenError;
use crate::domain::invalid::Invalid;
use crate::service::{Failure, Refusal};
use crate::store::StoreError;

/// Every error code of the API.
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

/// The `Retry-After` while the database is unavailable.
const RETRY_AFTER_OUTAGE_SECONDS: u64 = 2;

/// The `Retry-After` after a lost race.
const RETRY_AFTER_CONFLICT_SECONDS: u64 = 1;

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Store(error) if error.is_transient() => {
                Self::unavailable(RETRY_AFTER_OUTAGE_SECONDS).caused_by(error)
            }
            Failure::Overtaken | Failure::Store(StoreError::ClaimLost) => {
                Self::conflict("concurrent requests changed the same data; retry", RETRY_AFTER_CONFLICT_SECONDS)
            }
            failure @ (Failure::Store(_) | Failure::MissingOtpSecret { .. }) => Self::internal(failure),
        }
    }
}

impl From<TokenError> for ApiError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Invalid(_) => Self::invalid_token().caused_by(error),
            TokenError::Insufficient(_) => Self::insufficient_token(error.to_string()).caused_by(error),
            TokenError::KeysUnavailable { retry_after, .. } => Self::unavailable(retry_after).caused_by(error),
        }
    }
}

/// Maps a refusal. A 404 quotes the id as it stands in the path.
pub(super) fn refused(refusal: Refusal, path: &PathIds) -> ApiError {
    use ErrorCode as E;
    use Refusal as R;
    let invalid = |field: &'static str, message: String| ApiError::from(vec![Invalid::value(field, message)]);
    match refusal {
        R::Malformed(faults) => faults.into(),
        R::DeviceNotFound => ApiError::new(E::NotFound, format!("device \"{}\" not found", path.shown("id"))),
        R::KeyNotFound => ApiError::new(E::NotFound, format!("key \"{}\" not found", path.shown("key_id"))),
        R::ChallengeNotOpen(kind) => {
            let (kind, id) = (kind.wire_name(), path.shown("id"));
            ApiError::new(E::NotFound, format!("{kind} challenge \"{id}\" not found"))
        }
        R::NumberNotFound => {
            let person = path.shown("person_id");
            ApiError::new(E::ModelNotFound, format!("Couldn't find 'MobileNumber' for id '{person}'."))
        }
        R::NoVerifiedNumber => invalid("number", "telephone number not found".to_owned()),
        R::CountryNotServed(fault) => invalid("number", fault.to_string()),
        R::NoKeyOfPurpose => {
            let message = "the device has no key of this purpose";
            invalid("device_signature.signature_key_purpose", message.to_owned())
        }
        R::ApprovalDiffers => ApiError::new(E::Conflict, "the approval differs from the one that the person was shown"),
        R::DeviceInvalid => invalid("device_id", UNKNOWN_DEVICE.to_owned()),
        R::NoKeyToSign => invalid("key_purpose", "the device has no key of this purpose".to_owned()),
        R::RestrictedKeyRequired => {
            invalid("key_purpose", "an approval must be signed by a restricted key of the device".to_owned())
        }
        R::ActivationNotFound => {
            ApiError::new(E::NotFound, format!("activation challenge \"{}\" not found", path.shown("id")))
        }
        R::DeliveryEventNotFound => {
            ApiError::new(E::NotFound, format!("delivery event \"{}\" not found", path.shown("event_id")))
        }
        R::DeliveryEventLimit => {
            ApiError::new(E::Conflict, "the activation code has as many delivery events as allowed")
        }
        R::ActivationExists => {
            ApiError::new(E::Conflict, "the person has a live activation code; end it with invalidate_existing_code")
        }
        R::NoActivation => invalid("challenge_type", "activation code not found".to_owned()),
        R::NumberExists => {
            ApiError::new(E::MobileNumberExists, "the person has a mobile number already; delete it first")
        }
        R::MayNotAssert => {
            ApiError::new(E::UnauthorizedAction, "creating a number as verified needs the permission `numbers:assert`")
        }
        R::DeviceLimit => {
            ApiError::new(E::DeviceLimitExceeded, "the person has as many devices as allowed; delete one first")
        }
        R::KeyLimit => ApiError::new(E::KeyLimitExceeded, "the device has as many keys as allowed"),
        R::KeyTaken => ApiError::new(E::KeyAlreadyRegistered, "the key belongs to a bound device; generate a new one"),
        // Does not reveal whether the code or the key was wrong: the service cannot know, and RTS article 4(3)(a)
        // forbids it.
        R::WrongSignature => ApiError::new(E::InvalidTan, "the signature is wrong"),
        R::WrongCode => ApiError::new(E::InvalidTan, "the code is wrong or expired"),
        R::Diagnosed(wrong, diagnosis) => refused(*wrong, path).explained(&diagnosis),
        R::Declined => ApiError::new(E::UnauthorizedAction, "the device was declined"),
        R::SmsNotTaken(error) => {
            let detail = "the SMS could not be sent and the request had no effect; please retry";
            ApiError::new(E::BadGateway, detail).caused_by(error)
        }
        R::CoolingOff { retry_after } => {
            ApiError::too_many_requests("too many failed attempts; wait and start again", retry_after)
        }
        R::OpenChallenges { retry_after } => {
            let detail = "the device has as many open challenges as allowed; let it answer some";
            ApiError::too_many_requests(detail, retry_after)
        }
        R::SmsLimit { retry_after } => {
            let detail = "too many messages were sent recently; wait before requesting another";
            ApiError::too_many_requests(detail, retry_after)
        }
        R::SendingStopped { retry_after } => {
            let detail = "too few of the codes sent to this country are used; sending is stopped";
            ApiError::too_many_requests(detail, retry_after)
        }
        R::StillRunning { retry_after } => {
            let detail = "the first request with this Idempotency-Key is still running; retry later";
            ApiError::conflict(detail, retry_after)
        }
        R::KeyReused => {
            let detail = "this Idempotency-Key was used for another request; use a new key for each request";
            ApiError::new(E::IdempotencyKeyReused, detail)
        }
    }
}
