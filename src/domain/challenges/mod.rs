//! Challenges: what a person is asked to prove, for how long, and when the matter is settled.
//!
//! Pure. [`judge`] is the state machine of every kind. The statements that settle an answer repeat its conditions in their
//! `where` clauses, and `tests/it/store/challenges.rs` holds both against each other.

mod binding;
mod id;
mod kind;
mod state;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

pub use binding::{Acceptance, Binding, NewBinding, WrongSignature};
pub use id::ChallengeId;
pub use kind::ChallengeKind;
pub use state::{ChallengeRules, ChallengeState, Judgement, Over, judge};

/// A repeat of the very same signature within this time of success is answered like the first: clients retry a PUT whose
/// answer they lost.
pub const REPEAT_WINDOW: TimeDelta = TimeDelta::minutes(1);

/// When a challenge was made and when it ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ChallengeLife {
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// The first instant at which it is no longer open.
    pub expires_at: DateTime<Utc>,
}

impl ChallengeLife {
    /// A life that starts now.
    #[must_use]
    pub fn starting(now: DateTime<Utc>, length: TimeDelta) -> Self {
        Self { created_at: now, expires_at: now + length }
    }
}
