//! The challenge of a pending device: opened by sending a code by SMS or for an activation code, answered with a
//! signature over that code.

use chrono::{DateTime, Utc};

use crate::crypto::PublicKey;
use crate::domain::challenges::{ChallengeId, ChallengeLife, ChallengeRules, ChallengeState};
use crate::domain::devices::DeviceName;
use crate::domain::devices::key::KeyPurpose;
use crate::domain::id::KeyId;
use crate::domain::numbers::MobileNumber;
use crate::domain::person::PersonId;

/// The origin of the code that the phone has to sign.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BindingCode {
    /// The service sends it to this number by SMS.
    Sms(MobileNumber),
    /// The partner delivered it before: the person's activation code with this id.
    Activation(ChallengeId),
}

/// A binding that is not stored yet.
#[derive(Clone, Debug)]
pub struct NewBinding {
    /// The id of the challenge and of the pending device.
    pub id: ChallengeId,
    /// The owner of the device.
    pub person_id: PersonId,
    /// The code that the answer signs.
    pub code: BindingCode,
    /// The id that the device's first key will have.
    pub key_id: KeyId,
    /// The phone's key.
    pub public_key: PublicKey,
    /// What the key may sign for once bound.
    pub key_purpose: KeyPurpose,
    /// The person's name for the device.
    pub name: Option<DeviceName>,
    /// The version of the secret that the code is derived from.
    pub otp_version: u32,
    /// Start and expiry of the challenge.
    pub life: ChallengeLife,
}

/// A person's newest binding as stored, open or over: see [`state`](Self::state).
#[derive(Clone, Debug)]
pub struct Binding {
    /// The id of the challenge and of the pending device.
    pub id: ChallengeId,
    /// The owner of the device.
    pub person_id: PersonId,
    /// The id that the device's first key will have.
    pub key_id: KeyId,
    /// The key that the answer has to be signed with.
    pub public_key: PublicKey,
    /// What the key may sign for once bound.
    pub key_purpose: KeyPurpose,
    /// The version of the secret that the code was derived from.
    pub otp_version: u32,
    /// When it was requested.
    pub created_at: DateTime<Utc>,
    /// Decides whether it can be answered.
    pub state: ChallengeState,
    /// The person's bound devices at the time of the read.
    pub bound_devices: i64,
    /// The person's verified number. A binding by SMS has one unless it was deleted since.
    pub number: Option<MobileNumber>,
    /// The activation code that the answer signs; `None` for a binding by SMS.
    pub activation: Option<ChallengeId>,
}

impl Binding {
    /// Start and expiry of the challenge.
    #[must_use]
    pub fn life(&self) -> ChallengeLife {
        ChallengeLife { created_at: self.created_at, expires_at: self.state.expires_at }
    }
}

/// The input of the write that binds the device after a right signature.
#[derive(Clone, Debug)]
pub struct Acceptance {
    /// The answered challenge.
    pub id: ChallengeId,
    /// The owner of the device.
    pub person_id: PersonId,
    /// The fingerprint of the signature, to recognise a repeated answer.
    pub fingerprint: [u8; 32],
    /// Now.
    pub at: DateTime<Utc>,
    /// Maximum of bound devices per person.
    pub device_limit: i64,
    /// The rules that the challenge was judged by.
    pub rules: ChallengeRules,
    /// The activation code that the answer signs; `None` for a binding by SMS.
    pub activation: Option<ChallengeId>,
}

/// The input of the write that counts a wrong signature.
#[derive(Clone, Copy, Debug)]
pub struct WrongSignature {
    /// The answered challenge.
    pub id: ChallengeId,
    /// Now.
    pub at: DateTime<Utc>,
    /// The rules that the challenge was judged by.
    pub rules: ChallengeRules,
    /// The activation code that the answer signs; `None` for a binding by SMS.
    pub activation: Option<ChallengeId>,
}
