//! Fraud checks of devices by an external provider.
//!
//! The port is [`FraudCheck`], with the adapters [`seon`], [`sandbox`] and [`disabled`]. [`policy`] turns a result, or a failure,
//! into a decision; [`checker`] joins the two and is what use cases call. The device's payload is opaque: it is passed
//! on unchanged and never logged.

pub mod checker;
pub mod disabled;
pub mod policy;
pub mod sandbox;
pub mod seon;

use std::fmt;

use async_trait::async_trait;
use uuid::Uuid;

/// A provider that assesses devices.
#[async_trait]
pub trait FraudCheck: Send + Sync {
    /// Assesses the device; `None` when there is nothing to assess: no provider is configured, or it does not support
    /// the payload.
    ///
    /// Enforces its own timeout.
    async fn assess(&self, query: &FraudQuery<'_>) -> Result<Option<Assessment>, FraudError>;
}

/// The use case that asks for an assessment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FraudAction {
    /// A client asks to bind a device.
    DeviceBinding,
    /// A pending device answers its challenge.
    DeviceVerification,
    /// A bound device adds a key.
    DeviceKeyCreation,
    /// A bound device gets a challenge.
    DeviceChallenge,
    /// A person gets an SMS challenge.
    SmsChallenge,
}

impl FraudAction {
    /// The name sent to the provider, in the database and in metrics (docs/api-design.md#fraud-check).
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DeviceBinding => "device_binding",
            Self::DeviceVerification => "device_verification",
            Self::DeviceKeyCreation => "device_key_creation",
            Self::DeviceChallenge => "device_challenge",
            Self::SmsChallenge => "sms_challenge",
        }
    }
}

/// The input of a fraud check. `Debug` omits the payload.
#[derive(Clone, Copy)]
pub struct FraudQuery<'a> {
    /// The use case.
    pub action: FraudAction,
    /// The partner's id of the person.
    pub person_id: &'a str,
    /// The service's id of the assessment.
    pub transaction_id: Uuid,
    /// The payload of the fingerprinting library on the device, as the client sent it.
    pub device_data: &'a str,
}

impl fmt::Debug for FraudQuery<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FraudQuery")
            .field("action", &self.action)
            .field("person_id", &self.person_id)
            .field("transaction_id", &self.transaction_id)
            .finish_non_exhaustive()
    }
}

/// The provider's assessment.
#[derive(Clone, Debug, PartialEq)]
pub struct Assessment {
    /// The verdict.
    pub state: FraudState,
    /// The score; higher is worse.
    pub score: Option<f64>,
    /// The provider's id of the assessment.
    pub provider_id: Option<String>,
}

/// The provider's verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FraudState {
    /// Nothing suspicious.
    Approve,
    /// A human should look at it.
    Review,
    /// Suspicious.
    Decline,
}

impl FraudState {
    /// The name in the database and in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Review => "review",
            Self::Decline => "decline",
        }
    }
}

/// Why the provider gave no assessment. Contains neither the payload nor the provider's error message.
#[derive(Debug, thiserror::Error)]
pub enum FraudError {
    /// No complete response before the timeout.
    #[error("the fraud check timed out")]
    Timeout,
    /// No connection, or it was closed before the response was complete.
    #[error("the fraud check is unreachable")]
    Unreachable(#[source] reqwest::Error),
    /// A status other than 200.
    #[error("the fraud check responded with status {status}")]
    Refused {
        /// The HTTP status.
        status: u16,
    },
    /// The response exceeds the size limit.
    #[error("the response of the fraud check is too large")]
    TooLarge,
    /// The response could not be parsed.
    #[error("the response of the fraud check could not be parsed")]
    Unreadable,
    /// The provider reports a failure.
    #[error("the fraud check failed with code {}", code.as_deref().unwrap_or("-"))]
    Unsuccessful {
        /// The provider's error code.
        code: Option<String>,
    },
}

impl FraudError {
    /// The name in the database, metrics and logs.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Unreachable(_) => "unreachable",
            Self::Refused { .. } => "refused",
            Self::TooLarge => "too_large",
            Self::Unreadable => "unreadable",
            Self::Unsuccessful { .. } => "unsuccessful",
        }
    }
}
