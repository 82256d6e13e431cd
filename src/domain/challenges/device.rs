//! The challenge of a bound device: the phone signs a text that the service made.

use chrono::{DateTime, Utc};

use crate::crypto::PublicKey;
use crate::domain::approvals::{Approval, LineValue};
use crate::domain::challenges::signing_text::{TextFrame, TextToSign};
use crate::domain::challenges::{ChallengeId, ChallengeLife, ChallengeRules, ChallengeState};
use crate::domain::devices::key::KeyPurpose;
use crate::domain::id::{DeviceId, KeyId};
use crate::domain::person::PersonId;

/// A challenge that is about to be stored.
#[derive(Clone, Debug)]
pub struct NewDeviceChallenge {
    /// Its id.
    pub id: ChallengeId,
    /// The device that has to answer.
    pub device_id: DeviceId,
    /// The device's person.
    pub person_id: PersonId,
    /// The purpose of the keys that may sign.
    pub key_purpose: KeyPurpose,
    /// The text to be signed.
    pub text: TextToSign,
    /// What the person is asked to approve.
    pub approval: Option<Approval>,
    /// When the challenge begins and ends.
    pub life: ChallengeLife,
    /// Its number among the challenges of the device: one more than the last that was read. A parallel insert with the same
    /// number wins or loses as a whole, which keeps the limit on open challenges.
    pub turn: i64,
}

/// A challenge that is about to be stored for a device that was not read before: the database adds person, purpose and turn,
/// and decides whether the device may have it.
#[derive(Clone, Debug)]
pub struct UnreadDeviceChallenge {
    /// Its id.
    pub id: ChallengeId,
    /// The device that has to answer.
    pub device_id: DeviceId,
    /// The purposes of keys that may sign, the preferred one first.
    pub purposes: (KeyPurpose, Option<KeyPurpose>),
    /// The text to be signed, without person and purpose.
    pub text: TextFrame,
    /// What the person is asked to approve.
    pub approval: Option<Approval>,
    /// When the challenge begins and ends.
    pub life: ChallengeLife,
    /// The salt for the person in the audit event.
    pub person_salt: [u8; 16],
    /// The rules by which the failures of the device and its open challenges are judged.
    pub rules: ChallengeRules,
    /// How many open challenges the device may have.
    pub open_limit: i64,
}

/// A challenge as it is stored, with the keys of the device that may sign it.
#[derive(Clone, Debug)]
pub struct DeviceChallenge {
    /// Its id.
    pub id: ChallengeId,
    /// The device that has to answer.
    pub device_id: DeviceId,
    /// The device's person.
    pub person_id: PersonId,
    /// The purpose of the keys that may sign.
    pub key_purpose: KeyPurpose,
    /// The text to be signed, as the phone got it.
    pub text: TextToSign,
    /// What the person is asked to approve.
    pub approval: Option<Approval>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// Decides whether it can be answered. The failures are the device's.
    pub state: ChallengeState,
    /// The accepted answer; `None` before that, and when the challenge was closed without one.
    pub answer: Option<AcceptedAnswer>,
    /// The live keys of the purpose.
    pub keys: Vec<(KeyId, PublicKey)>,
}

impl DeviceChallenge {
    /// When the challenge began and when it ends.
    #[must_use]
    pub fn life(&self) -> ChallengeLife {
        ChallengeLife { created_at: self.created_at, expires_at: self.state.expires_at }
    }
}

/// What a person decided.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// The default.
    #[default]
    Approved,
    /// The person declines what the text says.
    Declined,
}

impl Decision {
    /// `None` for anything but the two names on the wire.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "approved" => Some(Self::Approved),
            "declined" => Some(Self::Declined),
            _ => None,
        }
    }

    /// The name on the wire and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Declined => "declined",
        }
    }
}

/// The reason for a decline, as metrics and the audit trail tell it. The client's own text may name a person, and there may
/// be many of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeclineReason {
    /// The person did not start what the text says: a sign of fraud.
    NotMe,
    /// Another reason.
    Other,
    /// The client gave none.
    None,
}

impl DeclineReason {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::NotMe, Self::Other, Self::None];

    /// The reason that a client's text gives.
    #[must_use]
    pub fn of(text: Option<&LineValue>) -> Self {
        match text.map(LineValue::as_str) {
            Some("not_me") => Self::NotMe,
            Some(_) => Self::Other,
            None => Self::None,
        }
    }

    /// `None` for anything but its three names.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }

    /// The name in metrics and in the audit trail.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotMe => "not_me",
            Self::Other => "other",
            Self::None => "none",
        }
    }
}

/// An answer that was accepted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AcceptedAnswer {
    /// What the person decided.
    pub decision: Decision,
    /// The reason for a decline, in the client's words.
    pub reason: Option<LineValue>,
    /// The key that signed.
    pub key_id: KeyId,
    /// Of the signature, to recognise a repeat.
    pub fingerprint: [u8; 32],
    /// When.
    pub at: DateTime<Utc>,
}

/// A right signature that is about to take effect.
#[derive(Clone, Debug)]
pub struct DeviceAcceptance {
    /// The challenge that it answers.
    pub id: ChallengeId,
    /// The device.
    pub device_id: DeviceId,
    /// The device's person.
    pub person_id: PersonId,
    /// The answer.
    pub answer: AcceptedAnswer,
    /// The text that was signed, to be kept with the audit event; `None` for a challenge without an approval.
    pub text_to_keep: Option<TextToSign>,
    /// The rules by which the challenge was judged.
    pub rules: ChallengeRules,
}

/// A wrong signature that is about to be counted.
#[derive(Clone, Copy, Debug)]
pub struct WrongDeviceSignature {
    /// The challenge.
    pub id: ChallengeId,
    /// The device that it counts against.
    pub device_id: DeviceId,
    /// Now.
    pub at: DateTime<Utc>,
    /// The rules by which the challenge was judged.
    pub rules: ChallengeRules,
}
