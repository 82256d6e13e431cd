//! The public key of a device: a point on P-256 in uncompressed SEC 1 form.
//!
//! A key is fully validated when it is parsed, so a device is never bound to a key that no signature can verify under.
//! Compressed, hybrid and infinite points are refused: each key has one encoding, so bytes can be compared. `p256`
//! validates keys; `aws-lc-rs` verifies signatures, at a sixth of the cost of `p256`. A property test checks that both
//! agree.

use std::fmt;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};

use super::DerSignature;

/// Length of an uncompressed point in bytes: the prefix, X and Y (SEC 1 section 2.3.3).
const LENGTH: usize = 65;

/// The prefix of an uncompressed point (SEC 1 section 2.3.3).
const UNCOMPRESSED: u8 = 0x04;

/// A public key on P-256, as the 65 bytes `04 || X || Y`.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey([u8; LENGTH]);

/// Why the input is not a public key, as an error message for the partner's developer. Never contains the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPublicKey {
    /// Not 130 characters, or not 65 bytes.
    #[error("must be 130 hexadecimal characters: an uncompressed SEC 1 point, 04 followed by X and Y of 32 bytes each")]
    Length,
    /// A character that is not a hexadecimal digit.
    #[error("must contain nothing but hexadecimal digits")]
    Hex,
    /// The right length, but not the prefix of an uncompressed point.
    #[error("must start with 04: the point has to be uncompressed, neither compressed (02, 03) nor hybrid (06, 07)")]
    Prefix,
    /// A coordinate that is not a field element, or a point that is not on the curve.
    #[error("must be a point on the curve P-256: X and Y big-endian and taken from one ecdsa-p256 key")]
    Point,
}

impl PublicKey {
    /// Parses and validates the hexadecimal form, in either case.
    pub fn from_hex(text: &str) -> Result<Self, InvalidPublicKey> {
        if text.chars().count() != 2 * LENGTH {
            return Err(InvalidPublicKey::Length);
        }
        let bytes = hex::decode(text).map_err(|_| InvalidPublicKey::Hex)?;
        Self::from_sec1(&bytes)
    }

    /// Parses and validates the raw bytes: form, range of the coordinates, curve equation (SEC 1 section 3.2.2.1; the
    /// cofactor of P-256 is one, so no check of the point's order is needed).
    pub fn from_sec1(bytes: &[u8]) -> Result<Self, InvalidPublicKey> {
        let bytes: [u8; LENGTH] = bytes.try_into().map_err(|_| InvalidPublicKey::Length)?;
        if bytes[0] != UNCOMPRESSED {
            return Err(InvalidPublicKey::Prefix);
        }
        p256::PublicKey::from_sec1_bytes(&bytes).map_err(|_| InvalidPublicKey::Point)?;
        Ok(Self(bytes))
    }

    /// Restores a stored key without validation.
    ///
    /// The bytes were validated when the key was registered; a second check of the curve equation would cost time on
    /// the hot path. Corrupt bytes are safe: [`verifies`](Self::verifies) returns `false` if they are not a point on
    /// the curve.
    #[must_use]
    pub fn from_trusted(bytes: [u8; LENGTH]) -> Self {
        Self(bytes)
    }

    /// The 65 bytes `04 || X || Y`.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; LENGTH] {
        &self.0
    }

    /// The key as DER of a `SubjectPublicKeyInfo` (RFC 5480 section 2).
    #[must_use]
    pub fn to_spki(&self) -> Vec<u8> {
        const HEADER: [u8; 26] = [
            0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
            0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
        ];
        [&HEADER[..], &self.0].concat()
    }

    /// Whether `signature` is a signature by this key over the SHA-256 digest of `message`.
    ///
    /// The digest is computed here: callers pass the message itself (docs/api-design.md#cryptography).
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &DerSignature) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.0).verify(message, signature.as_der()).is_ok()
    }
}

/// Redacted: with a key and a signature, all one-time codes can be tried until one verifies.
impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicKey").finish_non_exhaustive()
    }
}
