//! Why a use case refuses: every reason once, with its word for the audit trail and the metrics.
//!
//! A refusal is the caller's to act on; what is not is a [`Failure`]. `api::refusals` says what each is called on the wire.

use serde::{Deserialize, Serialize};

use crate::domain::challenges::ChallengeKind;
use crate::domain::failure_budget::CoolingOff;
use crate::domain::invalid::Faults;
use crate::domain::numbers::country::CountryNotServed;
use crate::service::{Failure, Service};
use crate::sms::SmsError;
use crate::store::StoreError;

/// Why a use case refused.
///
/// Those that can count or close something have a form as JSON, in which they are kept for repetitions of their request. The
/// names in it are as stable as the database's schema.
#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The signature was not made by the key over what it should sign. Costs an attempt.
    #[error("the signature is wrong")]
    WrongSignature,
    /// What was typed is not the code that was sent, or no code is open.
    #[error("the code is wrong")]
    WrongCode,
    /// The fraud check said no.
    #[error("the fraud check declined the device")]
    Declined,
    /// The person has as many devices as allowed.
    #[error("the person has as many devices as allowed")]
    DeviceLimit,
    /// A bound device already has the key.
    #[error("a bound device already has the key")]
    KeyTaken,
    /// What is wrong with the request itself. Costs no attempt.
    #[serde(skip)]
    #[error("the request is malformed")]
    Malformed(Faults),
    /// No such device of this partner, or, where it would have to sign, a deleted one.
    #[serde(skip)]
    #[error("there is no such device")]
    DeviceNotFound,
    /// The device has no such key.
    #[serde(skip)]
    #[error("there is no such key")]
    KeyNotFound,
    /// No such challenge, or it was met, expired, superseded or closed.
    #[serde(skip)]
    #[error("the challenge is not open")]
    ChallengeNotOpen(ChallengeKind),
    /// The person has no number, or not this one.
    #[serde(skip)]
    #[error("the person has no such mobile number")]
    NumberNotFound,
    /// Unknown person, no number, or an unverified one: the caller cannot tell which.
    #[serde(skip)]
    #[error("the person has no verified mobile number")]
    NoVerifiedNumber,
    /// The person has a number already.
    #[serde(skip)]
    #[error("the person has a mobile number already")]
    NumberExists,
    /// The client may not say that a number is verified.
    #[serde(skip)]
    #[error("the client may not assert mobile numbers")]
    MayNotAssert,
    /// The device has no key of the purpose that is said to have signed.
    #[serde(skip)]
    #[error("the device has no key of that purpose")]
    NoKeyOfPurpose,
    /// The device has as many keys as allowed.
    #[serde(skip)]
    #[error("the device has as many keys as allowed")]
    KeyLimit,
    /// The person has failed too often and has to wait; nothing was verified or sent.
    #[serde(skip)]
    #[error("the person has failed too often")]
    CoolingOff {
        /// For how long, in seconds.
        retry_after: u64,
    },
    /// Codes are not sent to the number's country (any more).
    #[serde(skip)]
    #[error("the number {0}")]
    CountryNotServed(#[from] CountryNotServed),
    /// Too many messages were sent to the number, for the person or by the partner.
    #[serde(skip)]
    #[error("too many messages were sent of late")]
    SmsLimit {
        /// For how long to wait, in seconds.
        retry_after: u64,
    },
    /// Too few of the codes that were sent to the number's country are used; nothing was sent.
    #[serde(skip)]
    #[error("sending to the country is stopped")]
    SendingStopped {
        /// For how long, in seconds.
        retry_after: u64,
    },
    /// No provider took the SMS; nothing of the attempt remains.
    #[serde(skip)]
    #[error("no SMS provider took the message")]
    SmsNotTaken(#[source] SmsError),
    /// The first request with this idempotency key still runs, or its process died a moment ago.
    #[serde(skip)]
    #[error("the first request with this idempotency key still runs")]
    StillRunning {
        /// For how long it is waited for, in seconds.
        retry_after: u64,
    },
    /// The idempotency key was used for another body.
    #[serde(skip)]
    #[error("the idempotency key was used for another request")]
    KeyReused,
}

impl Refusal {
    /// In a word, for metrics and the audit trail.
    #[must_use]
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::WrongSignature | Self::WrongCode => "wrong",
            Self::Declined => "declined",
            Self::DeviceLimit => "device_limit",
            Self::KeyTaken => "key_taken",
            Self::Malformed(_) => "malformed",
            Self::DeviceNotFound | Self::KeyNotFound | Self::NumberNotFound => "not_found",
            Self::ChallengeNotOpen(_) => "not_open",
            Self::NoVerifiedNumber => "no_verified_number",
            Self::NumberExists => "exists",
            Self::MayNotAssert => "may_not_assert",
            Self::NoKeyOfPurpose => "no_key_of_purpose",
            Self::KeyLimit => "key_limit",
            Self::CoolingOff { .. } => "cooling_off",
            Self::CountryNotServed(_) => "country_not_served",
            Self::SmsLimit { .. } => "sms_limit",
            Self::SendingStopped { .. } => "sending_stopped",
            Self::SmsNotTaken(_) => "sms_not_taken",
            Self::StillRunning { .. } => "still_running",
            Self::KeyReused => "idempotency_key_reused",
        }
    }

    /// Whether the caller attempted something that the audit trail tells of: a body that cannot be read is no attempt, and a
    /// repetition is none of its own.
    pub(in crate::service) fn is_worth_recording(&self) -> bool {
        !matches!(self, Self::Malformed(_) | Self::StillRunning { .. } | Self::KeyReused)
    }
}

/// Why a use case did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum NotDone {
    /// For a reason of the caller's.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// For a reason of ours.
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl NotDone {
    /// In a word, for metrics.
    pub(in crate::service) fn outcome(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.outcome(),
            Self::Failed(_) => "failure",
        }
    }
}

impl From<StoreError> for NotDone {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<Faults> for NotDone {
    fn from(faults: Faults) -> Self {
        Self::Refused(Refusal::Malformed(faults))
    }
}

impl Service {
    /// The refusal of a person who has to wait.
    pub(in crate::service) fn cooling_off(&self, cooling: CoolingOff) -> Refusal {
        Refusal::CoolingOff { retry_after: cooling.retry_after_seconds(self.clock.now()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::invalid::Invalid;

    /// What stands in databases: another name would lose every outcome that is kept under the old one.
    #[test]
    fn the_refusals_that_are_kept_have_stable_names() {
        let kept = [
            (Refusal::WrongSignature, "wrong_signature"),
            (Refusal::WrongCode, "wrong_code"),
            (Refusal::Declined, "declined"),
            (Refusal::DeviceLimit, "device_limit"),
            (Refusal::KeyTaken, "key_taken"),
        ];
        for (refusal, name) in kept {
            let json = serde_json::to_string(&refusal).unwrap();
            assert_eq!(json, format!("\"{name}\""));
            let read: Refusal = serde_json::from_str(&json).unwrap();
            assert_eq!(read.to_string(), refusal.to_string());
        }
    }

    #[test]
    fn a_refusal_that_changes_nothing_cannot_be_kept() {
        let refusals = [
            Refusal::Malformed(vec![Invalid::value("field", "is required")]),
            Refusal::ChallengeNotOpen(ChallengeKind::Binding),
            Refusal::CoolingOff { retry_after: 1 },
            Refusal::StillRunning { retry_after: 1 },
        ];
        for refusal in refusals {
            assert!(serde_json::to_string(&refusal).is_err(), "{refusal}");
        }
    }
}
