//! One-time codes: derived from a challenge's id on demand, never stored.
//!
//! A code is zeroized on drop and cannot be printed or cloned; only [`Otp::expose`] gives its digits. The secret is
//! kept outside the database. A challenge records the version of the secret, so the secret can be rotated while
//! challenges are open.

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretBox};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::activation_code::{ActivationCode, LABEL};

/// Digits of a code.
const DIGITS: usize = 6;

/// A one-time code of six decimal digits, leading zeros included.
///
/// It has no `Debug`, no `Display` and no `Clone`, and is zeroized on drop.
pub struct Otp(SecretBox<str>);

impl Otp {
    /// Parses a code that a person typed, or the fixed code of the sandbox: exactly six ASCII digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_code = text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
        is_code.then(|| Self(SecretBox::new(text.into())))
    }

    /// The last six decimal digits of `number`, leading zeros kept (RFC 4226 section 5.3, step 3).
    fn from_number(number: u32) -> Self {
        // Full capacity: a reallocation would leave a copy of the digits in freed memory.
        let mut digits = String::with_capacity(DIGITS);
        for place in [100_000, 10_000, 1_000, 100, 10, 1] {
            digits.push(char::from(b'0' + (number / place % 10) as u8));
        }
        Self(digits.into())
    }

    /// The six digits, for the SMS and as the message that a device signs.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Constant-time comparison of both codes.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.expose().as_bytes().ct_eq(other.expose().as_bytes()).into()
    }
}

/// A secret that codes are derived from; configuration requires at least 32 bytes.
#[derive(Debug)]
pub struct OtpSecret(SecretBox<[u8]>);

impl OtpSecret {
    /// Copies the secret. The caller has to zeroize the original.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(SecretBox::new(bytes.into()))
    }

    fn derive(&self, id: &[u8; 16]) -> Otp {
        Otp::from_number(truncate(&self.mac(&[id])))
    }

    /// The activation code of the challenge `id`.
    #[must_use]
    pub fn derive_activation(&self, id: &[u8; 16]) -> ActivationCode {
        ActivationCode::from_mac(&self.mac(&[LABEL, id]))
    }

    fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.expose_secret()).expect("HMAC takes a key of any length");
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

/// The secrets in use: the current one and the previous one.
///
/// Versions have no gaps: to rotate, the operator makes the current secret the previous one and increments the version
/// by one. Open challenges of the previous version stay valid until they expire.
#[derive(Debug)]
pub struct OtpSecrets {
    version: u32,
    current: OtpSecret,
    previous: Option<OtpSecret>,
}

impl OtpSecrets {
    /// `current` has this `version`, `previous` the one before it.
    #[must_use]
    pub fn new(version: u32, current: OtpSecret, previous: Option<OtpSecret>) -> Self {
        Self { version, current, previous }
    }

    /// The version to record with a new challenge.
    #[must_use]
    pub fn current_version(&self) -> u32 {
        self.version
    }

    /// The code of the challenge `id` with the secret of `version`; `None` when that secret is not configured.
    #[must_use]
    pub fn derive(&self, version: u32, id: &[u8; 16]) -> Option<Otp> {
        self.secret(version).map(|secret| secret.derive(id))
    }

    /// The activation code of the challenge `id`; `None` when the secret of `version` is not configured.
    #[must_use]
    pub fn derive_activation(&self, version: u32, id: &[u8; 16]) -> Option<ActivationCode> {
        self.secret(version).map(|secret| secret.derive_activation(id))
    }

    fn secret(&self, version: u32) -> Option<&OtpSecret> {
        if version == self.version {
            Some(&self.current)
        } else if version.checked_add(1) == Some(self.version) {
            self.previous.as_ref()
        } else {
            None
        }
    }
}

/// Dynamic truncation (RFC 4226 section 5.3): 31 bits from the offset in the low nibble of the last byte.
///
/// RFC 6238 section 1.2 applies it to the longer output of HMAC-SHA-256. The top bit is masked to avoid the ambiguity
/// between signed and unsigned integers.
pub(super) fn truncate(mac: &[u8]) -> u32 {
    let offset = usize::from(mac[mac.len() - 1] & 0x0f);
    let word = mac[offset..offset + 4].try_into().expect("the slice has four bytes");
    u32::from_be_bytes(word) & 0x7fff_ffff
}
