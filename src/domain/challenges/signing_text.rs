//! The text that a phone signs for a device challenge (docs/api-design.md#the-text-to-sign).
//!
//! Lines joined by one LF, none at the end, in a fixed order: `name: value`. The first line names the kind of the message and
//! keeps the kinds apart that one key signs: no one-time code, activation code or key begins like it.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::approvals::Approval;
use crate::domain::challenges::ChallengeId;
use crate::domain::devices::key::KeyPurpose;
use crate::domain::id::DeviceId;
use crate::domain::person::{PartnerId, PersonId};

/// The first line of a challenge without an approval.
pub const CHALLENGE_HEADING: &str = "device-management/challenge/v1";

/// The first line of a challenge with an approval.
pub const APPROVAL_HEADING: &str = "device-management/approval/v1";

/// The first line of the text that declines a challenge.
pub const DECLINE_HEADING: &str = "device-management/decline/v1";

/// The values of the lines.
#[derive(Clone, Debug)]
pub struct SigningText<'a> {
    /// The challenge.
    pub challenge: ChallengeId,
    /// Random bytes, so that no two texts are equal.
    pub nonce: [u8; 16],
    /// The device's partner.
    pub partner: &'a PartnerId,
    /// The device's person.
    pub person: &'a PersonId,
    /// The device.
    pub device: DeviceId,
    /// The purpose of the keys that may sign.
    pub key: KeyPurpose,
    /// When the challenge ends.
    pub expires_at: DateTime<Utc>,
    /// What the person is asked to approve.
    pub approval: Option<&'a Approval>,
}

impl SigningText<'_> {
    /// The text.
    #[must_use]
    pub fn compose(&self) -> TextToSign {
        let Self { challenge, nonce, partner, person, device, key, expires_at, approval } = *self;
        let TextFrame { head, between, tail } =
            TextFrame::of(challenge, nonce, partner, device, (expires_at, approval));
        TextToSign(format!("{head}{person}{between}{}{tail}", key.as_str()))
    }
}

/// A text without its person and the purpose of its key: the statement that reads both from the database inserts them.
#[derive(Clone)]
pub struct TextFrame {
    /// Up to the person.
    pub head: String,
    /// From the person to the purpose.
    pub between: String,
    /// From the purpose on.
    pub tail: String,
}

impl TextFrame {
    /// The frame of the text with these values, the last of them the end of the challenge and the approval.
    #[must_use]
    pub fn of(
        challenge: ChallengeId,
        nonce: [u8; 16],
        partner: &PartnerId,
        device: DeviceId,
        (expires_at, approval): (DateTime<Utc>, Option<&Approval>),
    ) -> Self {
        let heading = if approval.is_some() { APPROVAL_HEADING } else { CHALLENGE_HEADING };
        let nonce = hex::encode(nonce);
        let head = format!("{heading}\nchallenge: {challenge}\nnonce: {nonce}\npartner: {partner}\nperson: ");
        let mut tail = format!("\nexpires: {}", expires_at.to_rfc3339_opts(SecondsFormat::Secs, true));
        for line in approval.iter().flat_map(|approval| approval.lines()) {
            tail.push('\n');
            tail.push_str(&line);
        }
        Self { head, between: format!("\ndevice: {device}\nkey: "), tail }
    }
}

/// Like that of [`TextToSign`].
impl fmt::Debug for TextFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextFrame").finish_non_exhaustive()
    }
}

/// A text that was made for a phone to sign. It is stored and never made again.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TextToSign(String);

impl TextToSign {
    /// A text that was stored.
    #[must_use]
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text that a phone signs to decline: the same lines under another first one.
    #[must_use]
    pub fn declining(&self) -> Self {
        let lines = self.0.split_once('\n').map_or("", |(_, lines)| lines);
        Self(format!("{DECLINE_HEADING}\n{lines}"))
    }
}

/// Says that there is a text and nothing about it: it may name payees and their accounts.
impl fmt::Debug for TextToSign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextToSign").finish_non_exhaustive()
    }
}
