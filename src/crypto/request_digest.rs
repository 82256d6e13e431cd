//! Keyed digests of request bodies, to distinguish a retry from another request without storing the body.
//!
//! The digest is an HMAC because a body may contain a six-digit code: an attacker who reads an unkeyed digest in the
//! database could try all codes against it.

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretBox};
use sha2::Sha256;

/// Domain separation from other uses of the secret.
const PURPOSE: &[u8] = b"idempotent request";

/// The keys that bodies are digested with.
pub struct RequestDigests {
    keys: Vec<SecretBox<[u8; 32]>>,
}

impl RequestDigests {
    /// Derives a key from each secret; the first is the current one.
    #[must_use]
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let keys = secrets.into_iter().map(|secret| SecretBox::new(Box::new(mac(secret, PURPOSE)))).collect();
        Self { keys }
    }

    /// The digest of a body under each secret, the current one first.
    #[must_use]
    pub fn of(&self, body: &[u8]) -> Vec<[u8; 32]> {
        self.keys.iter().map(|key| mac(key.expose_secret(), body)).collect()
    }
}

fn mac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_rotation_a_body_is_recognised_by_the_previous_secret() {
        let before = RequestDigests::new([&b"old"[..]]).of(b"{}");
        let after = RequestDigests::new([&b"new"[..], &b"old"[..]]).of(b"{}");
        assert_eq!(after[1], before[0]);
        assert_ne!(after[0], before[0]);
    }

    #[test]
    fn another_body_has_another_digest() {
        let digests = RequestDigests::new([&b"secret"[..]]);
        assert_ne!(digests.of(b"{}"), digests.of(b"{ }"));
    }
}
