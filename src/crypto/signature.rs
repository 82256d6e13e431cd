//! An ECDSA signature over P-256 in strict DER: `SEQUENCE { r INTEGER, s INTEGER }` (RFC 3279 section 2.2.3).
//!
//! Input that is not strict DER, or has r or s outside [1, n-1], cannot verify under any key and is refused as
//! malformed, without counting a failure. High s is accepted, because the key stores of phones do not normalise s. So
//! signatures are malleable: (r, n-s) verifies too. Never compare their bytes, compare fingerprints.

use std::fmt;

use p256::ecdsa::Signature;
use sha2::{Digest, Sha256};

/// The longest accepted text, in characters (docs/api-design.md#cryptography).
const MAX_CHARACTERS: usize = 2048;

/// A well-formed signature with r and s in [1, n-1], not yet verified.
pub struct DerSignature {
    der: p256::ecdsa::DerSignature,
    scalars: Signature,
}

/// Why the input is not a signature, as an error message for the partner's developer. Never contains the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSignature {
    /// The text is empty or too long.
    #[error("length ({characters}) out of bounds (min: 1, max: {MAX_CHARACTERS})")]
    Length {
        /// The length of the text in characters.
        characters: usize,
    },
    /// A character that is not a hexadecimal digit, or an odd number of digits.
    #[error("must be hexadecimal: two digits for each byte, and nothing else")]
    Hex,
    /// Not the DER encoding of two non-negative integers of at most 32 bytes.
    #[error(
        "must be a DER encoded ECDSA P-256 signature: SEQUENCE {{ r INTEGER, s INTEGER }}, not the raw bytes of r and s"
    )]
    Der,
    /// r or s is out of range.
    #[error("must have r and s between 1 and n-1, where n is the order of P-256")]
    Range,
}

impl DerSignature {
    /// Parses the hexadecimal form, in either case.
    pub fn from_hex(text: &str) -> Result<Self, InvalidSignature> {
        let characters = text.chars().count();
        if !(1..=MAX_CHARACTERS).contains(&characters) {
            return Err(InvalidSignature::Length { characters });
        }
        let der = hex::decode(text).map_err(|_| InvalidSignature::Hex)?;
        Self::from_der(&der)
    }

    /// Parses strict DER (ITU-T X.690 section 10): minimal lengths and integers, no negative numbers, no trailing
    /// bytes.
    pub fn from_der(der: &[u8]) -> Result<Self, InvalidSignature> {
        let der = p256::ecdsa::DerSignature::from_bytes(der).map_err(|_| InvalidSignature::Der)?;
        let scalars = Signature::try_from(der.clone()).map_err(|_| InvalidSignature::Range)?;
        Ok(Self { der, scalars })
    }

    /// The DER encoding, exactly as it was parsed.
    #[must_use]
    pub fn as_der(&self) -> &[u8] {
        self.der.as_bytes()
    }

    /// The signature with r and s exchanged, and with the bytes of both reversed: what an encoder may have made of the
    /// intended one. `None` where a number would be out of range.
    pub(super) fn misencoded(&self) -> [Option<Self>; 2] {
        let (r, s) = self.scalars.split_bytes();
        let (mut reversed_r, mut reversed_s) = (r, s);
        reversed_r.reverse();
        reversed_s.reverse();
        [(s, r), (reversed_r, reversed_s)].map(|(r, s)| {
            let scalars = Signature::from_scalars(r, s).ok()?;
            Some(Self { der: scalars.to_der(), scalars })
        })
    }

    /// SHA-256 over `r || min(s, n-s)`, 32 bytes each: the same for a signature and its high-s counterpart.
    ///
    /// Used to recognise the repetition of an accepted signature without storing it
    /// (docs/api-design.md#answer-a-signature-challenge). It reveals nothing about the signed message, since r and s
    /// cannot be recovered from it.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        Sha256::digest(self.scalars.normalize_s().to_bytes()).into()
    }
}

/// Redacted: with a key and a signature, all one-time codes can be tried until one verifies
/// (docs/api-design.md#cryptography).
impl fmt::Debug for DerSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DerSignature").finish_non_exhaustive()
    }
}
