//! Phones that sign with a key pair each.

use std::rc::Rc;

use anyhow::Context as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};

/// A phone with its key pair.
#[derive(Clone)]
pub(crate) struct Phone(Rc<EcdsaKeyPair>);

impl Phone {
    /// Generates a key pair.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let key_pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).context("no key pair")?;
        Ok(Self(Rc::new(key_pair)))
    }

    /// The public key as the API takes it: an uncompressed point (SEC 1 section 2.3.3) in hexadecimal.
    pub(crate) fn key(&self) -> String {
        hex::encode(self.0.public_key())
    }

    /// The signature as the API takes it: DER in hexadecimal.
    pub(crate) fn sign(&self, text: &str) -> anyhow::Result<String> {
        let signature = self.0.sign(&SystemRandom::new(), text.as_bytes()).context("no signature")?;
        Ok(hex::encode(signature))
    }
}
