//! An ECDSA signature over P-256 in strict DER: `SEQUENCE { r INTEGER, s INTEGER }` (RFC 3279 section 2.2.3).
//!
//! What is not strict DER, or has r or s outside [1, n-1], can be right under no key; it is refused before anyone
//! counts an attempt. High s is accepted, because the key stores of phones do not normalise. So a signature has a
//! twin that verifies as well, and its bytes are never an identifier: compare fingerprints instead.

use std::fmt;

use p256::ecdsa::Signature;
use sha2::{Digest, Sha256};

/// The longest text that is read at all, in characters (docs/api-design.md#cryptography).
const MAX_CHARACTERS: usize = 2048;

/// A well-formed signature with r and s in [1, n-1]; whether it is right is for a key to say.
pub struct DerSignature {
    der: p256::ecdsa::DerSignature,
    scalars: Signature,
}

/// Why a text or a byte string is no signature; the message tells a partner's developer what to send instead.
///
/// It never repeats what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSignature {
    /// An empty text, or one that is too long to be read.
    #[error("length ({characters}) out of bounds (min: 1, max: {MAX_CHARACTERS})")]
    Length {
        /// How many characters were sent.
        characters: usize,
    },
    /// A character that is no hexadecimal digit, or half a byte at the end.
    #[error("must be hexadecimal: two digits for each byte, and nothing else")]
    Hex,
    /// Not the one DER encoding of two non-negative integers of at most 32 bytes.
    #[error(
        "must be a DER encoded ECDSA P-256 signature: SEQUENCE {{ r INTEGER, s INTEGER }}, not the raw bytes of r and s"
    )]
    Der,
    /// An r or s that no signer can produce.
    #[error("must have r and s between 1 and n-1, where n is the order of P-256")]
    Range,
}

impl DerSignature {
    /// Reads the hexadecimal form, in either case.
    pub fn from_hex(text: &str) -> Result<Self, InvalidSignature> {
        let characters = text.chars().count();
        if !(1..=MAX_CHARACTERS).contains(&characters) {
            return Err(InvalidSignature::Length { characters });
        }
        let der = hex::decode(text).map_err(|_| InvalidSignature::Hex)?;
        Self::from_der(&der)
    }

    /// Reads the raw DER (ITU-T X.690 section 10): no spare length octets, no spare zeros, no sign, nothing left over.
    pub fn from_der(der: &[u8]) -> Result<Self, InvalidSignature> {
        let der = p256::ecdsa::DerSignature::from_bytes(der).map_err(|_| InvalidSignature::Der)?;
        let scalars = Signature::try_from(der.clone()).map_err(|_| InvalidSignature::Range)?;
        Ok(Self { der, scalars })
    }

    /// The DER encoding, exactly as it was read.
    #[must_use]
    pub fn as_der(&self) -> &[u8] {
        self.der.as_bytes()
    }

    /// SHA-256 over `r || min(s, n-s)`, 32 bytes each: the same for a signature and its high-s twin.
    ///
    /// Recognises the repeat of a signature that was accepted (docs/api-design.md#answer-a-signature-challenge) without
    /// keeping the signature. It discloses
    /// nothing of the message that was signed, since r and s are not known to whoever reads it.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        Sha256::digest(self.scalars.normalize_s().to_bytes()).into()
    }
}

/// Says that there is a signature and nothing about it: it gives away the code that was signed (docs/api-design.md#cryptography).
impl fmt::Debug for DerSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DerSignature").finish_non_exhaustive()
    }
}
