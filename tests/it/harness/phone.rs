//! A handset with a real P-256 key that really signs.

use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use sha2::{Digest, Sha256};

pub(crate) struct Phone(SigningKey);

impl Phone {
    /// The same seed gives the same key.
    pub(crate) fn new(seed: u32) -> Self {
        let scalar = Sha256::digest(seed.to_be_bytes());
        Self(SigningKey::from_slice(&scalar).expect("a hash is a valid P-256 scalar for all practical purposes"))
    }

    /// The public key as `key` carries it.
    pub(crate) fn key(&self) -> String {
        hex::encode(self.0.verifying_key().to_sec1_point(false).as_bytes())
    }

    /// A signature over a text, as `signature` carries it.
    pub(crate) fn sign(&self, text: &str) -> String {
        self.sign_bytes(text.as_bytes())
    }

    pub(crate) fn sign_bytes(&self, message: &[u8]) -> String {
        let signature: Signature = self.0.sign(message);
        hex::encode(signature.to_der())
    }
}
