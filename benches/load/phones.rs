//! Phones that sign with a key pair each.

use anyhow::Context as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};

/// A phone with its key pair.
pub(crate) struct Phone(EcdsaKeyPair);

impl Phone {
    /// Generates a key pair.
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).context("no key pair")?))
    }

    /// The public key as the API takes it: an uncompressed point (SEC 1 section 2.3.3) in hexadecimal.
    pub(crate) fn key(&self) -> String {
        hex::encode(self.0.public_key())
    }

    /// The signature as the API takes it: DER in hexadecimal.
    pub(crate) fn sign(&self, code: &str) -> anyhow::Result<String> {
        let signature = self.0.sign(&SystemRandom::new(), code.as_bytes()).context("no signature")?;
        Ok(hex::encode(signature))
    }
}
