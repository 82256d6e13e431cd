//! Asks a fraud-prevention service what it thinks of a device.
//!
//! The port is [`FraudCheck`]; [`seon`] asks SEON, [`disabled`] asks nobody. What an answer, or the lack of one, means
//! is [`policy`]; [`gate`] joins the two and is what services call. The payload of the device is opaque here: it is passed on untouched and never shown.

pub mod checker;
pub mod disabled;
pub mod policy;
pub mod seon;

use std::fmt;

use async_trait::async_trait;
use uuid::Uuid;

/// Whoever can assess a device.
#[async_trait]
pub trait FraudCheck: Send + Sync {
    /// Assesses the device; `None` when there is nothing to assess: no service is configured, or the payload is not
    /// one that it understands.
    ///
    /// Keeps its own deadline: the answer is there, or an error, within it.
    async fn assess(&self, query: &FraudQuery<'_>) -> Result<Option<Assessment>, FraudError>;
}

/// What the person is doing with the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FraudAction {
    /// A new device asks to be bound.
    DeviceBinding,
    /// A pending device answers its challenge.
    DeviceVerification,
    /// A bound device gets another key.
    DeviceKeyCreation,
}

impl FraudAction {
    /// The word on the wire, in the database and in metrics (docs/api-design.md#fraud-check).
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DeviceBinding => "device_binding",
            Self::DeviceVerification => "device_verification",
            Self::DeviceKeyCreation => "device_key_creation",
        }
    }
}

/// One question. `Debug` leaves the payload out.
#[derive(Clone, Copy)]
pub struct FraudQuery<'a> {
    /// What the person is doing.
    pub action: FraudAction,
    /// The partner's id of the person.
    pub person_id: &'a str,
    /// Our id of what is being decided.
    pub transaction_id: Uuid,
    /// What the fingerprinting library on the device gathered, as the caller sent it.
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

/// What the service thinks.
#[derive(Clone, Debug, PartialEq)]
pub struct Assessment {
    /// Its verdict.
    pub state: FraudState,
    /// Its score; higher is worse.
    pub score: Option<f64>,
    /// Its id of this assessment, to find it in its own records.
    pub provider_id: Option<String>,
}

/// The verdict of the service.
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
    /// The word in the database and in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Review => "review",
            Self::Decline => "decline",
        }
    }
}

/// The service gave no assessment. Holds nothing of the payload, and nothing of the service's free words.
#[derive(Debug, thiserror::Error)]
pub enum FraudError {
    /// No complete answer within the deadline.
    #[error("the fraud check did not answer in time")]
    Timeout,
    /// No connection, or it ended before the answer was complete.
    #[error("the fraud check could not be reached")]
    Unreachable(#[source] reqwest::Error),
    /// Another status than 200.
    #[error("the fraud check refused with status {status}")]
    Refused {
        /// The HTTP status.
        status: u16,
    },
    /// The answer is larger than any that makes sense.
    #[error("the fraud check's answer is too large")]
    TooLarge,
    /// The answer is not what this service answers.
    #[error("the fraud check's answer could not be read")]
    Unreadable,
    /// The service says that it failed.
    #[error("the fraud check failed with code {}", code.as_deref().unwrap_or("-"))]
    Unsuccessful {
        /// The service's error code.
        code: Option<String>,
    },
}

impl FraudError {
    /// One word for the database, metrics and logs.
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
