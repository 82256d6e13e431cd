//! The public key of a device: a point on P-256 in its uncompressed SEC 1 form.
//!
//! A key is checked in full when it comes in, so that a device is never bound to a key under which nothing can verify.
//! Compressed, hybrid and infinite points are refused: there is one spelling of a key, and so bytes can be compared.
//! p256 checks keys; aws-lc-rs verifies signatures, at a sixth of p256's cost. A property test holds the two together.

use std::fmt;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};

use super::DerSignature;

/// Bytes of an uncompressed point: the prefix, X and Y (SEC 1 section 2.3.3).
const LENGTH: usize = 65;

/// The prefix that announces an uncompressed point (SEC 1 section 2.3.3).
const UNCOMPRESSED: u8 = 0x04;

/// A public key on P-256, as the 65 bytes `04 || X || Y`.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey([u8; LENGTH]);

/// Why a text or a byte string is no public key; the message tells a partner's developer what to send instead.
///
/// It never repeats what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPublicKey {
    /// Not 130 characters, or not 65 bytes.
    #[error("must be 130 hexadecimal characters: an uncompressed SEC 1 point, 04 followed by X and Y of 32 bytes each")]
    Length,
    /// A character that is no hexadecimal digit.
    #[error("must contain nothing but hexadecimal digits")]
    Hex,
    /// The right length, but not marked as uncompressed.
    #[error("must start with 04: the point has to be uncompressed, neither compressed (02, 03) nor hybrid (06, 07)")]
    Prefix,
    /// A coordinate that is no field element, or a point elsewhere than on the curve.
    #[error("must be a point on the curve P-256: X and Y big-endian and taken from one ecdsa-p256 key")]
    Point,
}

impl PublicKey {
    /// Reads the hexadecimal form, in either case, and checks it in full.
    pub fn from_hex(text: &str) -> Result<Self, InvalidPublicKey> {
        if text.chars().count() != 2 * LENGTH {
            return Err(InvalidPublicKey::Length);
        }
        let bytes = hex::decode(text).map_err(|_| InvalidPublicKey::Hex)?;
        Self::from_sec1(&bytes)
    }

    /// Reads the raw bytes and checks them in full: form, range of the coordinates, curve equation (SEC 1 section 3.2.2.1;
    /// the cofactor of P-256 is one, so every point on the curve generates the whole group).
    pub fn from_sec1(bytes: &[u8]) -> Result<Self, InvalidPublicKey> {
        let bytes: [u8; LENGTH] = bytes.try_into().map_err(|_| InvalidPublicKey::Length)?;
        if bytes[0] != UNCOMPRESSED {
            return Err(InvalidPublicKey::Prefix);
        }
        p256::PublicKey::from_sec1_bytes(&bytes).map_err(|_| InvalidPublicKey::Point)?;
        Ok(Self(bytes))
    }

    /// Takes back bytes that the store was given by [`as_bytes`](Self::as_bytes).
    ///
    /// They were checked when the key was registered; checking the curve equation a second time on every verification would
    /// be paid for on the hot path. Nothing rests on the trust: [`verifies`](Self::verifies) answers `false` for bytes
    /// that are no point on the curve.
    #[must_use]
    pub fn from_trusted(bytes: [u8; LENGTH]) -> Self {
        Self(bytes)
    }

    /// The 65 bytes `04 || X || Y`.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; LENGTH] {
        &self.0
    }

    /// Whether `signature` is this key's over the SHA-256 digest of `message`.
    ///
    /// The digest is taken here, once: callers pass the message itself (docs/api-design.md#cryptography).
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &DerSignature) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.0).verify(message, signature.as_der()).is_ok()
    }
}

/// Says that there is a key and nothing about it: with a signature at hand, the key gives away the code that was signed.
impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicKey").finish_non_exhaustive()
    }
}
