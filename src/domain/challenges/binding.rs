//! The challenge of a device to be bound: opened with a code by SMS, met by a signature over it.

use chrono::{DateTime, Utc};

use crate::crypto::PublicKey;
use crate::domain::challenges::{ChallengeId, ChallengeLife, ChallengeRules, ChallengeState};
use crate::domain::devices::DeviceName;
use crate::domain::devices::key::KeyPurpose;
use crate::domain::id::KeyId;
use crate::domain::numbers::MobileNumber;
use crate::domain::person::PersonId;

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

/// The newest attempt of a person to bind a device, as it is stored. Whether it is still open says its state.
#[derive(Clone, Debug)]
pub struct Binding {
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
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// What decides whether it can be met.
    pub state: ChallengeState,
    /// How many devices the person has by now.
    pub bound_devices: i64,
    /// Where the code went; nothing but a number that was deleted meanwhile is missing.
    pub number: Option<MobileNumber>,
}

impl Binding {
    /// When the challenge began and when it ends.
    #[must_use]
    pub fn life(&self) -> ChallengeLife {
        ChallengeLife { created_at: self.created_at, expires_at: self.state.expires_at }
    }
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
    /// Bound devices per person.
    pub device_limit: i64,
    /// What the challenge was judged by.
    pub rules: ChallengeRules,
}

/// A wrong signature that is about to be counted.
#[derive(Clone, Copy, Debug)]
pub struct WrongSignature {
    /// The challenge that it was meant for.
    pub id: ChallengeId,
    /// Now.
    pub at: DateTime<Utc>,
    /// What the challenge was judged by.
    pub rules: ChallengeRules,
}
