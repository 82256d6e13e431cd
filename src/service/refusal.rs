//! The refusals of use cases, with their outcome words for the audit trail and metrics.
//!
//! The caller can act on a refusal; everything else is a [`Failure`]. `api::refusals` maps refusals to API errors.

use serde::{Deserialize, Serialize};

use crate::crypto::Diagnosis;
use crate::domain::challenges::ChallengeKind;
use crate::domain::failure_budget::CoolingOff;
use crate::domain::invalid::Faults;
use crate::domain::numbers::country::CountryNotServed;
use crate::service::{Failure, Service};
use crate::sms::SmsError;
use crate::store::StoreError;

/// Why a use case refused.
///
/// Those that can count or close something serialize to JSON, in which they are stored for repetitions of the request.
/// Their names are as stable as the database schema.
#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The signature does not verify. Counts as a failure.
    #[error("the signature is wrong")]
    WrongSignature,
    /// The typed code is not the one that was sent, or no code is open.
    #[error("the code is wrong")]
    WrongCode,
    /// A wrong signature or code, with the mistake. In the sandbox only; the outcome is stored without the mistake.
    #[serde(skip)]
    #[error("{0}: {1}")]
    Diagnosed(Box<Refusal>, Diagnosis),
    /// The fraud check declined the device.
    #[error("the fraud check declined the device")]
    Declined,
    /// The person has as many devices as allowed.
    #[error("the person has as many devices as allowed")]
    DeviceLimit,
    /// A bound device already has the key.
    #[error("a bound device already has the key")]
    KeyTaken,
    /// The request is malformed. Does not count as a failure.
    #[serde(skip)]
    #[error("the request is malformed")]
    Malformed(Faults),
    /// The partner has no such device, or it is deleted and would have to sign.
    #[serde(skip)]
    #[error("there is no such device")]
    DeviceNotFound,
    /// The device has no such key.
    #[serde(skip)]
    #[error("there is no such key")]
    KeyNotFound,
    /// No such challenge, or it was answered right, expired, superseded or closed.
    #[serde(skip)]
    #[error("the challenge is not open")]
    ChallengeNotOpen(ChallengeKind),
    /// The person has no number, or not this one.
    #[serde(skip)]
    #[error("the person has no such mobile number")]
    NumberNotFound,
    /// Unknown person, no number, or an unverified one. The response does not reveal which.
    #[serde(skip)]
    #[error("the person has no verified mobile number")]
    NoVerifiedNumber,
    /// No such activation code.
    #[serde(skip)]
    #[error("there is no such activation code")]
    ActivationNotFound,
    /// No such event of this activation code.
    #[serde(skip)]
    #[error("there is no such delivery event")]
    DeliveryEventNotFound,
    /// The activation code has as many delivery events as allowed.
    #[serde(skip)]
    #[error("the activation code has as many delivery events as allowed")]
    DeliveryEventLimit,
    /// The person has a live activation code already.
    #[serde(skip)]
    #[error("the person has a live activation code already")]
    ActivationExists,
    /// The person has no live activation code.
    #[serde(skip)]
    #[error("the person has no live activation code")]
    NoActivation,
    /// The person has a number already.
    #[serde(skip)]
    #[error("the person has a mobile number already")]
    NumberExists,
    /// The client lacks the permission to assert numbers.
    #[serde(skip)]
    #[error("the client may not assert mobile numbers")]
    MayNotAssert,
    /// The device has no key of the purpose that the request names as the signer's.
    #[serde(skip)]
    #[error("the device has no key of that purpose")]
    NoKeyOfPurpose,
    /// The approval of the answer is not the one that the person saw. Nothing is consumed.
    #[serde(skip)]
    #[error("the approval differs from the challenge's")]
    ApprovalDiffers,
    /// The device that a challenge is asked for is not a bound device of the partner.
    #[serde(skip)]
    #[error("there is no such bound device")]
    DeviceInvalid,
    /// The device has no key of the purpose that may sign the challenge.
    #[serde(skip)]
    #[error("the device has no key that may sign the challenge")]
    NoKeyToSign,
    /// Approvals need a restricted key, and the request names another purpose or the device has none.
    #[serde(skip)]
    #[error("approvals need a restricted key")]
    RestrictedKeyRequired,
    /// The device has as many open challenges as allowed.
    #[serde(skip)]
    #[error("the device has as many open challenges as allowed")]
    OpenChallenges {
        /// For how long to wait, in seconds.
        retry_after: u64,
    },
    /// The device has as many keys as allowed.
    #[serde(skip)]
    #[error("the device has as many keys as allowed")]
    KeyLimit,
    /// The person's failure budget is exhausted; nothing was verified or sent.
    #[serde(skip)]
    #[error("the person has failed too often")]
    CoolingOff {
        /// The wait in seconds.
        retry_after: u64,
    },
    /// Codes are not sent, or no longer sent, to the number's country.
    #[serde(skip)]
    #[error("the number {0}")]
    CountryNotServed(#[from] CountryNotServed),
    /// A rate limit of the number, the person or the partner is reached.
    #[serde(skip)]
    #[error("too many messages were sent recently")]
    SmsLimit {
        /// The wait in seconds.
        retry_after: u64,
    },
    /// The conversion of the number's country is too low; nothing was sent.
    #[serde(skip)]
    #[error("sending to the country is stopped")]
    SendingStopped {
        /// The wait in seconds.
        retry_after: u64,
    },
    /// No provider accepted the SMS, and the attempt was taken back.
    #[serde(skip)]
    #[error("no SMS provider accepted the message")]
    SmsNotTaken(#[source] SmsError),
    /// The first request with this idempotency key is still running, or its process crashed and its lease has not
    /// expired.
    #[serde(skip)]
    #[error("the first request with this idempotency key is still running")]
    StillRunning {
        /// The wait in seconds: until the lease expires.
        retry_after: u64,
    },
    /// The idempotency key was used with a different body.
    #[serde(skip)]
    #[error("the idempotency key was used for another request")]
    KeyReused,
}

/// Defines the outcome of each refusal, and the list of all outcomes, from one table.
macro_rules! outcomes {
    ($($refusal:pat => $word:literal,)*) => {
        impl Refusal {
            /// All words of `outcome`.
            pub const OUTCOMES: &[&str] = &[$($word),*];

            /// The outcome word for metrics and the audit trail.
            #[must_use]
            pub fn outcome(&self) -> &'static str {
                match self {
                    $($refusal => $word,)*
                }
            }
        }
    };
}

outcomes! {
    Self::WrongSignature | Self::WrongCode | Self::Diagnosed(..) => "wrong",
    Self::Declined => "declined",
    Self::DeviceLimit => "device_limit",
    Self::KeyTaken => "key_taken",
    Self::Malformed(_) => "malformed",
    Self::DeviceNotFound | Self::KeyNotFound | Self::NumberNotFound | Self::DeviceInvalid
    | Self::ActivationNotFound | Self::DeliveryEventNotFound => "not_found",
    Self::ChallengeNotOpen(_) => "not_open",
    Self::NoVerifiedNumber => "no_verified_number",
    Self::NumberExists | Self::ActivationExists => "exists",
    Self::NoActivation => "no_activation_code",
    Self::DeliveryEventLimit => "delivery_event_limit",
    Self::MayNotAssert => "may_not_assert",
    Self::NoKeyOfPurpose | Self::NoKeyToSign | Self::RestrictedKeyRequired => "no_key_of_purpose",
    Self::ApprovalDiffers => "approval_differs",
    Self::OpenChallenges { .. } => "open_challenges",
    Self::KeyLimit => "key_limit",
    Self::CoolingOff { .. } => "cooling_off",
    Self::CountryNotServed(_) => "country_not_served",
    Self::SmsLimit { .. } => "sms_limit",
    Self::SendingStopped { .. } => "sending_stopped",
    Self::SmsNotTaken(_) => "sms_not_taken",
    Self::StillRunning { .. } => "still_running",
    Self::KeyReused => "idempotency_key_reused",
}

impl Refusal {
    /// Whether the audit trail records it. Malformed requests and repetitions are not recorded.
    pub(in crate::service) fn is_worth_recording(&self) -> bool {
        !matches!(self, Self::Malformed(_) | Self::StillRunning { .. } | Self::KeyReused)
    }
}

/// Why a use case did not take effect.
#[derive(Debug, thiserror::Error)]
pub enum NotDone {
    /// Refused for a reason on the caller's side.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A failure of the service.
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl NotDone {
    /// The outcome word for metrics.
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
    /// The refusal during a pause.
    pub(in crate::service) fn cooling_off(&self, cooling: CoolingOff) -> Refusal {
        Refusal::CoolingOff { retry_after: cooling.retry_after_seconds(self.clock.now()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::invalid::Invalid;

    /// The names are stored in databases: renaming one would make stored outcomes unreadable.
    #[test]
    fn refusals_that_are_stored_have_stable_names() {
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
    fn a_refusal_that_changes_nothing_does_not_serialize() {
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
