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
        let Self { challenge, nonce, partner, person, device, key, expires_at, approval } = self;
        let heading = if approval.is_some() { APPROVAL_HEADING } else { CHALLENGE_HEADING };
        let mut lines = vec![
            heading.to_owned(),
            format!("challenge: {challenge}"),
            format!("nonce: {}", hex::encode(nonce)),
            format!("partner: {partner}"),
            format!("person: {person}"),
            format!("device: {device}"),
            format!("key: {}", key.as_str()),
            format!("expires: {}", expires_at.to_rfc3339_opts(SecondsFormat::Secs, true)),
        ];
        lines.extend(approval.iter().flat_map(|approval| approval.lines()));
        TextToSign(lines.join("\n"))
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
