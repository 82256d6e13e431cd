//! A private key on P-256 in software, for the software phone of the command line. The service itself has no such key.

use std::fmt;

use p256::SecretKey;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use p256::pkcs8::{DecodePrivateKey, EncodePrivateKey, LineEnding};
use zeroize::Zeroizing;

use super::{DerSignature, PublicKey};

/// A private key; zeroized when it is dropped.
pub struct SoftwareKey(SecretKey);

impl SoftwareKey {
    /// The key with this scalar; `None` if it is not in [1, n-1], which one in 2^32 random scalars is not.
    #[must_use]
    pub fn from_scalar(scalar: &[u8; 32]) -> Option<Self> {
        SecretKey::from_slice(scalar).ok().map(Self)
    }

    /// Parses PEM of PKCS#8 (RFC 5958); `None` if it is anything else, or a key on another curve.
    #[must_use]
    pub fn from_pem(pem: &str) -> Option<Self> {
        SecretKey::from_pkcs8_pem(pem).ok().map(Self)
    }

    /// The private key as PEM of PKCS#8, with LF and a line end at the end.
    #[must_use]
    pub fn to_pem(&self) -> Zeroizing<String> {
        self.0.to_pkcs8_pem(LineEnding::LF).expect("every key on P-256 has this encoding")
    }

    /// The public key.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        let point = SigningKey::from(&self.0).verifying_key().to_sec1_point(false);
        PublicKey::from_sec1(point.as_bytes()).expect("an uncompressed point on the curve")
    }

    /// Signs the SHA-256 digest of the message. The same message gives the same signature (RFC 6979).
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> DerSignature {
        let signature: Signature = SigningKey::from(&self.0).sign(message);
        DerSignature::from_der(signature.to_der().as_bytes()).expect("p256 encodes signatures in strict DER")
    }
}

/// Redacted.
impl fmt::Debug for SoftwareKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SoftwareKey").finish_non_exhaustive()
    }
}
