//! The public keys of a device. The service verifies signatures with them and never returns them to a client.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::crypto::PublicKey;
use crate::domain::id::KeyId;

/// What a key may sign for (seed: `key_purpose`).
///
/// `Restricted` keys are usually protected by biometrics; an unrestricted key signs them when they are added.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyPurpose {
    /// The default.
    #[default]
    Unrestricted,
    /// The phone protects the key further.
    Restricted,
}

impl KeyPurpose {
    /// `None` for any other text than the two names in the API.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "unrestricted" => Some(Self::Unrestricted),
            "restricted" => Some(Self::Restricted),
            _ => None,
        }
    }

    /// The name in the API and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unrestricted => "unrestricted",
            Self::Restricted => "restricted",
        }
    }
}

/// The only key type: ECDSA on P-256 (docs/api-design.md#cryptography).
pub const KEY_TYPE: &str = "ecdsa-p256";

/// A live key of a bound device.
#[derive(Clone, Debug)]
pub struct DeviceKey {
    /// Its id.
    pub id: KeyId,
    /// What it may sign for.
    pub purpose: KeyPurpose,
    /// The key itself. It has no printable form.
    pub public_key: PublicKey,
    /// When the service last accepted a signature by it, binding included.
    pub used_at: Option<DateTime<Utc>>,
}
