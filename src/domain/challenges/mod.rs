//! Challenges: their kinds, lifetimes and state machine. No I/O.
//!
//! [`judge`] is the state machine of every kind. The SQL statements that settle an answer repeat its conditions in
//! their `where` clauses; `tests/it/store/challenges.rs` tests that both agree.

mod activation;
mod binding;
mod device;
mod id;
mod kind;
pub mod signing_text;
mod state;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

pub use activation::{
    ActivationChallenge, ActivationFilter, ActivationPurpose, DELIVERY_EVENTS_MAX, DeliveryEvent, DeliveryEventId,
    DeliveryEventType, DeliveryMethod, Detail, FAILURES_MAX, NewActivation, Origin, Provider, USES_MAX,
};
pub use binding::{Acceptance, Binding, BindingCode, NewBinding, WrongSignature};
pub use device::{
    AcceptedAnswer, Decision, DeclineReason, DeviceAcceptance, DeviceChallenge, NewDeviceChallenge,
    UnreadDeviceChallenge, WrongDeviceSignature,
};
pub use id::ChallengeId;
pub use kind::ChallengeKind;
pub use state::{ChallengeRules, ChallengeState, Judgement, Over, judge};

/// The same signature, sent again within this time after it bound the device, succeeds again: clients retry a PUT whose
/// response they did not receive.
pub const REPEAT_WINDOW: TimeDelta = TimeDelta::minutes(1);

/// Start and expiry of a challenge.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ChallengeLife {
    /// When it was requested.
    pub created_at: DateTime<Utc>,
    /// The first instant at which it is no longer open.
    pub expires_at: DateTime<Utc>,
}

impl ChallengeLife {
    /// A lifetime of this length that starts now.
    #[must_use]
    pub fn starting(now: DateTime<Utc>, length: TimeDelta) -> Self {
        Self { created_at: now, expires_at: now + length }
    }
}
