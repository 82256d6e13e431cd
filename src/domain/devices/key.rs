//! The public keys of a device. Key material goes in and is verified against; it is never given back.

use chrono::{DateTime, Utc};

use crate::crypto::PublicKey;
use crate::domain::id::KeyId;

/// What a key may sign for (seed: `key_purpose`).
///
/// `Restricted` keys usually sit behind biometry and are vouched for by an unrestricted one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum KeyPurpose {
    /// The default.
    #[default]
    Unrestricted,
    /// Guarded further by the phone.
    Restricted,
}

impl KeyPurpose {
    /// `None` for anything but the two names on the wire.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "unrestricted" => Some(Self::Unrestricted),
            "restricted" => Some(Self::Restricted),
            _ => None,
        }
    }

    /// The name on the wire and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unrestricted => "unrestricted",
            Self::Restricted => "restricted",
        }
    }
}

/// The only key type there is: ECDSA on P-256 (docs/api-design.md#cryptography).
pub const KEY_TYPE: &str = "ecdsa-p256";

/// A live key of a bound device.
#[derive(Clone, Debug)]
pub struct DeviceKey {
    /// Its id.
    pub id: KeyId,
    /// What it may sign for.
    pub purpose: KeyPurpose,
    /// The key itself, to verify with; has no printable form.
    pub public_key: PublicKey,
    /// When it last signed something that we accepted, binding included.
    pub used_at: Option<DateTime<Utc>>,
}
