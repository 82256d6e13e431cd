//! What each use case's refusal is called on the wire.
//!
//! Exhaustive on purpose: a use case that can refuse for a new reason does not compile until the reason has its place here.

use super::error::{ApiError, ErrorCode};
use crate::auth::TokenError;
use crate::domain::invalid::Invalid;
use crate::domain::numbers::country::CountryNotServed;
use crate::service::{AddKeyError, BindDeviceError, DeviceError, Failure, MobileNumberError, VerifyBindingError};
use crate::store::StoreError;

/// For how long a caller should leave a database alone that is away.
const RETRY_AFTER_OUTAGE_SECONDS: u64 = 2;

/// For how long a caller should wait before it asks again after a lost race.
const RETRY_AFTER_CONFLICT_SECONDS: u64 = 1;

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Store(error) if error.is_transient() => {
                Self::unavailable(RETRY_AFTER_OUTAGE_SECONDS).caused_by(error)
            }
            Failure::Overtaken | Failure::Store(StoreError::ClaimLost) => {
                Self::conflict("other requests came in between; ask again", RETRY_AFTER_CONFLICT_SECONDS)
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

impl From<BindDeviceError> for ApiError {
    fn from(error: BindDeviceError) -> Self {
        match error {
            BindDeviceError::NoVerifiedNumber => {
                Self::from(vec![Invalid::value("number", "telephone number not found")])
            }
            BindDeviceError::CountryNotServed(fault) => country_not_served(fault),
            BindDeviceError::DeviceLimit => device_limit(),
            BindDeviceError::KeyTaken => key_taken(),
            BindDeviceError::Declined => declined(),
            BindDeviceError::SmsNotTaken(error) => sms_not_taken().caused_by(error),
            BindDeviceError::CoolingOff { retry_after } => cooling_off(retry_after),
            BindDeviceError::SmsLimit { retry_after } => sms_limit(retry_after),
            BindDeviceError::SendingStopped { retry_after } => sending_stopped(retry_after),
            BindDeviceError::Failure(failure) => failure.into(),
        }
    }
}

/// A refusal and the id, as the caller wrote it, that it is about.
pub(crate) struct Regarding<E>(pub(crate) String, pub(crate) E);

impl From<Regarding<VerifyBindingError>> for ApiError {
    fn from(Regarding(id, error): Regarding<VerifyBindingError>) -> Self {
        match error {
            VerifyBindingError::NotOpen => challenge_not_found(&id),
            VerifyBindingError::Malformed(faults) => faults.into(),
            VerifyBindingError::WrongSignature => wrong_signature(),
            VerifyBindingError::Declined => declined(),
            VerifyBindingError::DeviceLimit => device_limit(),
            VerifyBindingError::KeyTaken => key_taken(),
            VerifyBindingError::CoolingOff { retry_after } => cooling_off(retry_after),
            VerifyBindingError::Failure(failure) => failure.into(),
        }
    }
}

impl From<Regarding<DeviceError>> for ApiError {
    fn from(Regarding(id, error): Regarding<DeviceError>) -> Self {
        match error {
            DeviceError::NotFound => device_not_found(&id),
            DeviceError::Failure(failure) => failure.into(),
        }
    }
}

impl From<Regarding<AddKeyError>> for ApiError {
    fn from(Regarding(id, error): Regarding<AddKeyError>) -> Self {
        match error {
            AddKeyError::DeviceNotFound => device_not_found(&id),
            AddKeyError::Malformed(faults) => faults.into(),
            AddKeyError::NoKeyOfPurpose => Self::from(vec![Invalid::value(
                "device_signature.signature_key_purpose",
                "the device has no key of this purpose",
            )]),
            AddKeyError::WrongSignature => wrong_signature(),
            AddKeyError::Declined => declined(),
            AddKeyError::KeyLimit => Self::new(ErrorCode::KeyLimitExceeded, "the device has as many keys as allowed"),
            AddKeyError::KeyTaken => key_taken(),
            AddKeyError::CoolingOff { retry_after } => cooling_off(retry_after),
            AddKeyError::Failure(failure) => failure.into(),
        }
    }
}

impl From<Regarding<MobileNumberError>> for ApiError {
    fn from(Regarding(person, error): Regarding<MobileNumberError>) -> Self {
        match error {
            MobileNumberError::NotFound => number_not_found(&person),
            MobileNumberError::Exists => {
                Self::new(ErrorCode::MobileNumberExists, "the person has a mobile number already; delete it first")
            }
            MobileNumberError::MayNotAssert => Self::new(
                ErrorCode::UnauthorizedAction,
                "creating a number as verified needs the permission `numbers:assert`",
            ),
            MobileNumberError::WrongToken => Self::new(ErrorCode::InvalidTan, "the token is wrong or expired"),
            MobileNumberError::SmsNotTaken(error) => sms_not_taken().caused_by(error),
            MobileNumberError::CountryNotServed(fault) => country_not_served(fault),
            MobileNumberError::CoolingOff { retry_after } => cooling_off(retry_after),
            MobileNumberError::SmsLimit { retry_after } => sms_limit(retry_after),
            MobileNumberError::SendingStopped { retry_after } => sending_stopped(retry_after),
            MobileNumberError::Failure(failure) => failure.into(),
        }
    }
}

pub(crate) fn device_not_found(id: &str) -> ApiError {
    ApiError::new(ErrorCode::NotFound, format!("device \"{id}\" not found"))
}

pub(crate) fn challenge_not_found(id: &str) -> ApiError {
    ApiError::new(ErrorCode::NotFound, format!("signature challenge \"{id}\" not found"))
}

pub(crate) fn key_not_found(id: &str) -> ApiError {
    ApiError::new(ErrorCode::NotFound, format!("key \"{id}\" not found"))
}

pub(crate) fn number_not_found(person: &str) -> ApiError {
    ApiError::new(ErrorCode::ModelNotFound, format!("Couldn't find 'MobileNumber' for id '{person}'."))
}

fn device_limit() -> ApiError {
    ApiError::new(ErrorCode::DeviceLimitExceeded, "the person has as many devices as allowed; delete one first")
}

fn key_taken() -> ApiError {
    ApiError::new(ErrorCode::KeyAlreadyRegistered, "the key belongs to a bound device; generate a new one")
}

/// Does not say whether the code or the key was wrong: nobody could tell (and RTS article 4(3)(a) forbids it).
fn wrong_signature() -> ApiError {
    ApiError::new(ErrorCode::InvalidTan, "the signature is wrong")
}

fn declined() -> ApiError {
    ApiError::new(ErrorCode::UnauthorizedAction, "the device was declined")
}

fn sms_not_taken() -> ApiError {
    ApiError::new(ErrorCode::BadGateway, "the SMS could not be sent; nothing of this attempt remains, please try again")
}

fn cooling_off(retry_after: u64) -> ApiError {
    ApiError::too_many_requests("too many failed attempts; wait and start again", retry_after)
}

fn sms_limit(retry_after: u64) -> ApiError {
    ApiError::too_many_requests("too many messages were sent of late; wait before you ask for another", retry_after)
}

fn country_not_served(fault: CountryNotServed) -> ApiError {
    ApiError::from(vec![Invalid::value("number", fault.to_string())])
}

fn sending_stopped(retry_after: u64) -> ApiError {
    ApiError::too_many_requests("too few of the codes sent to this country are used; sending is paused", retry_after)
}
