//! A phone with a real P-256 key that signs codes and other keys.

use p256::ecdsa::signature::hazmat::PrehashSigner;
use p256::ecdsa::signature::{RandomizedSigner, Signer};
use p256::ecdsa::{Signature, SigningKey};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub(crate) struct Phone(SigningKey);

impl Phone {
    /// The same seed gives the same key.
    pub(crate) fn new(seed: u32) -> Self {
        let scalar = Sha256::digest(seed.to_be_bytes());
        Self(SigningKey::from_slice(&scalar).expect("a hash is a valid P-256 scalar for all practical purposes"))
    }

    /// The public key in the format of the field `key`.
    pub(crate) fn key(&self) -> String {
        hex::encode(self.0.verifying_key().to_sec1_point(false).as_bytes())
    }

    /// A signature over a text in the format of the field `signature`.
    pub(crate) fn sign(&self, text: &str) -> String {
        self.sign_bytes(text.as_bytes())
    }

    pub(crate) fn sign_bytes(&self, message: &[u8]) -> String {
        let signature: Signature = self.0.sign(message);
        hex::encode(signature.to_der())
    }

    /// A signature over a number instead of a digest: the bytes as they are, cut to 32 or smaller.
    pub(crate) fn sign_number(&self, bytes: &[u8]) -> String {
        let taken = &bytes[..bytes.len().min(32)];
        let mut number = [0; 32];
        number[32 - taken.len()..].copy_from_slice(taken);
        let signature: Signature = self.0.sign_prehash(&number).expect("32 bytes are a digest");
        hex::encode(signature.to_der())
    }

    /// A signature whose encoder confused r and s.
    pub(crate) fn sign_with_exchanged_integers(&self, text: &str) -> String {
        let (r, s) = scalars(&self.sign(text)).split_scalars();
        hex::encode(Signature::from_scalars(s, r).expect("both are in range").to_der())
    }

    /// A signature with a nonce from `seed`, for several valid signatures over one text.
    pub(crate) fn sign_with_nonce(&self, text: &str, seed: u64) -> String {
        let signature: Signature = self.0.sign_with_rng(&mut StdRng::seed_from_u64(seed), text.as_bytes());
        hex::encode(signature.to_der())
    }

    /// The body that adds another phone's key to this one's device.
    pub(crate) fn vouch_for(&self, other: &Self) -> Value {
        let signature = self.sign(&other.key());
        json!({
            "key": other.key(),
            "key_type": "ecdsa-p256",
            "device_signature": {"signature_key_purpose": "unrestricted", "signature": signature},
        })
    }

    /// The high-s form of a low-s signature, or the reverse. ECDSA accepts both.
    pub(crate) fn twin(signature: &str) -> String {
        let (r, s) = scalars(signature).split_scalars();
        let twin = Signature::from_scalars(r, -s).expect("the negative of a scalar in range is in range");
        hex::encode(twin.to_der())
    }

    /// Whether s is in the upper half of its range.
    pub(crate) fn has_high_s(signature: &str) -> bool {
        let signature = scalars(signature);
        signature.normalize_s() != signature
    }
}

fn scalars(signature: &str) -> Signature {
    let der = hex::decode(signature).expect("a phone signs in hex");
    Signature::from_der(&der).expect("a phone signs in DER")
}
