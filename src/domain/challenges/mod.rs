//! The signature challenge of a pending binding, and the rules for when it is open.
//!
//! Pure: the same rules stand in the `where` clauses that settle races; this is their readable form and what a reader of a
//! row decides by.

use chrono::{DateTime, TimeDelta, Utc};

use crate::crypto::PublicKey;
use crate::domain::devices::DeviceName;
use crate::domain::devices::key::KeyPurpose;
use crate::domain::failure_budget::{FailureBudget, FailureRun};
use crate::domain::id::{ChallengeId, KeyId};
use crate::domain::numbers::MobileNumber;
use crate::domain::person::PersonId;

/// A repeat of the very same signature within this time of success is answered like the first (contract section 4.5):
/// real clients retry a PUT whose answer they lost.
pub const REPEAT_WINDOW: TimeDelta = TimeDelta::minutes(1);

/// When a challenge was made and when it ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChallengeLife {
    /// When the binding was asked for.
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

/// An attempt to bind a device, not yet stored.
#[derive(Clone, Debug)]
pub struct NewBinding {
    /// The challenge, and the device to be.
    pub id: ChallengeId,
    /// For whom.
    pub person_id: PersonId,
    /// Where the code goes.
    pub number: MobileNumber,
    /// The id that the device's first key will have.
    pub key_id: KeyId,
    /// The key.
    pub public_key: PublicKey,
    /// What it may sign for once bound.
    pub key_purpose: KeyPurpose,
    /// What the person calls the device.
    pub name: Option<DeviceName>,
    /// Which secret the code is derived under.
    pub otp_version: u32,
    /// When the challenge begins and ends.
    pub life: ChallengeLife,
}

/// A binding whose challenge is open: not met, not expired, not superseded, attempts left.
#[derive(Clone, Debug)]
pub struct OpenBinding {
    /// The challenge, and the device to be.
    pub id: ChallengeId,
    /// For whom.
    pub person_id: PersonId,
    /// The id that the device's first key will have.
    pub key_id: KeyId,
    /// The key that must have signed.
    pub public_key: PublicKey,
    /// What the key may sign for once bound.
    pub key_purpose: KeyPurpose,
    /// Which secret the code was derived under.
    pub otp_version: u32,
    /// Its five minutes.
    pub life: ChallengeLife,
    /// How many devices the person has by now.
    pub bound_devices: i64,
    /// Where the code went; nothing but a number that was deleted meanwhile is missing.
    pub number: Option<MobileNumber>,
    /// The person's failures of late.
    pub failures: FailureRun,
}

/// A right signature that is about to take effect.
#[derive(Clone, Debug)]
pub struct Acceptance {
    /// The challenge that it meets.
    pub id: ChallengeId,
    /// For whom.
    pub person_id: PersonId,
    /// Of the signature, to know a repeat.
    pub fingerprint: [u8; 32],
    /// Now.
    pub at: DateTime<Utc>,
    /// Wrong signatures per challenge.
    pub wrong_signatures_cap: i64,
    /// Bound devices per person.
    pub device_limit: i64,
    /// Failures per person.
    pub budget: FailureBudget,
}

/// A wrong signature that is about to be counted.
#[derive(Clone, Copy, Debug)]
pub struct WrongSignature {
    /// The challenge that it was meant for.
    pub id: ChallengeId,
    /// Now.
    pub at: DateTime<Utc>,
    /// Wrong signatures per challenge.
    pub cap: i64,
    /// Failures per person.
    pub budget: FailureBudget,
}
