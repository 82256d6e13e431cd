//! Keyed digests of the queries and bodies of requests, to distinguish a retry from another request
//! without storing them.
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
        let keys = secrets.into_iter().map(|secret| SecretBox::new(Box::new(mac(secret, [PURPOSE])))).collect();
        Self { keys }
    }

    /// The digest of a query and a body under each secret, the current one first. The length of the query comes first, so
    /// that no two pairs have the same bytes.
    #[must_use]
    pub fn of(&self, query: &str, body: &[u8]) -> Vec<[u8; 32]> {
        let length = u64::try_from(query.len()).unwrap_or(u64::MAX).to_be_bytes();
        let message = [&length, query.as_bytes(), body];
        self.keys.iter().map(|key| mac(key.expose_secret(), message)).collect()
    }
}

fn mac<const PARTS: usize>(key: &[u8], message: [&[u8]; PARTS]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in message {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_rotation_a_body_is_recognised_by_the_previous_secret() {
        let before = RequestDigests::new([&b"old"[..]]).of("", b"{}");
        let after = RequestDigests::new([&b"new"[..], &b"old"[..]]).of("", b"{}");
        assert_eq!(after[1], before[0]);
        assert_ne!(after[0], before[0]);
    }

    #[test]
    fn another_body_or_query_has_another_digest() {
        let digests = RequestDigests::new([&b"secret"[..]]);
        let all = [("", "{}"), ("", "{ }"), ("x=y", "{}"), ("x", "=y{}")];
        for (place, (query, body)) in all.iter().enumerate() {
            for (other_query, other_body) in &all[..place] {
                assert_ne!(digests.of(query, body.as_bytes()), digests.of(other_query, other_body.as_bytes()));
            }
        }
    }
}
