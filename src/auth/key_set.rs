//! Parses a JWK set of the identity provider (RFC 7517 section 5).
//!
//! Each key is parsed separately: an unusable one is skipped and counted by reason, and the others are used. A reason
//! never quotes the key.

use std::collections::{BTreeMap, HashMap};

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// A key with the only algorithm that it verifies.
pub(super) struct VerifyingKey {
    pub(super) decoding: DecodingKey,
    pub(super) algorithm: Algorithm,
}

/// The usable keys by id. Keys of different types may share an id (RFC 7517 section 4.5).
#[derive(Default)]
pub(super) struct KeySet {
    keys: HashMap<String, Vec<VerifyingKey>>,
    /// The number of skipped keys, by reason.
    pub(super) skipped: BTreeMap<&'static str, usize>,
}

#[derive(Deserialize)]
struct Document<'a> {
    /// Raw text: a key that cannot be parsed, such as one that is nested too deeply, must not fail the whole set.
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

impl KeySet {
    /// `None` when the text is not a key set, or when it has keys and none of them is usable.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        let Document { keys: members } = serde_json::from_slice(text).ok()?;
        let mut set = Self::default();
        let is_empty = members.is_empty();
        for member in members {
            match usable_key(member.get()) {
                Ok((id, key)) => set.keys.entry(id).or_default().push(key),
                Err(reason) => *set.skipped.entry(reason).or_default() += 1,
            }
        }
        (is_empty || !set.keys.is_empty()).then_some(set)
    }

    /// The number of usable keys.
    pub(super) fn len(&self) -> usize {
        self.keys.values().map(Vec::len).sum()
    }

    /// Whether there is a key with this id.
    pub(super) fn has(&self, id: &str) -> bool {
        self.keys.contains_key(id)
    }

    /// The keys with this id that verify this algorithm.
    pub(super) fn find(&self, id: &str, algorithm: Algorithm) -> impl Iterator<Item = &VerifyingKey> {
        self.keys.get(id).into_iter().flatten().filter(move |key| key.algorithm == algorithm)
    }
}

/// Accepts a signature key with an id and a public-key algorithm. A symmetric key in a public set is not secret.
fn usable_key(member: &str) -> Result<(String, VerifyingKey), &'static str> {
    let values: Map<String, Value> = serde_json::from_str(member).map_err(|_| "it is not a JSON object")?;
    if values.get("kid").is_none_or(|id| !id.is_string()) {
        return Err("it has no kid, or one that is not a string");
    }
    let key: Jwk = serde_json::from_str(member).map_err(|_| "a member has the wrong type or is repeated")?;
    let is_for = |usage: &PublicKeyUse| *usage == PublicKeyUse::Signature;
    let allows = |operations: &Vec<KeyOperations>| operations.contains(&KeyOperations::Verify);
    if !key.common.public_key_use.as_ref().is_none_or(is_for) || !key.common.key_operations.as_ref().is_none_or(allows)
    {
        return Err("it is not for signatures");
    }
    let algorithm =
        algorithm_of(&key).ok_or("its type, curve or algorithm is not supported, or a member is missing")?;
    let decoding = DecodingKey::from_jwk(&key).map_err(|_| "its numbers are not valid base64url")?;
    let id = key.common.key_id.ok_or("it has no kid, or one that is not a string")?;
    Ok((id, VerifyingKey { decoding, algorithm }))
}

/// The only algorithm that the key verifies (RFC 7518 section 3.1).
fn algorithm_of(key: &Jwk) -> Option<Algorithm> {
    Some(match (&key.algorithm, key.common.key_algorithm) {
        (AlgorithmParameters::RSA(_), None | Some(KeyAlgorithm::RS256)) => Algorithm::RS256,
        (AlgorithmParameters::RSA(_), Some(KeyAlgorithm::RS384)) => Algorithm::RS384,
        (AlgorithmParameters::RSA(_), Some(KeyAlgorithm::RS512)) => Algorithm::RS512,
        (AlgorithmParameters::RSA(_), Some(KeyAlgorithm::PS256)) => Algorithm::PS256,
        (AlgorithmParameters::EllipticCurve(ec), None | Some(KeyAlgorithm::ES256))
            if ec.curve == EllipticCurve::P256 =>
        {
            Algorithm::ES256
        }
        (AlgorithmParameters::EllipticCurve(ec), None | Some(KeyAlgorithm::ES384))
            if ec.curve == EllipticCurve::P384 =>
        {
            Algorithm::ES384
        }
        (AlgorithmParameters::OctetKeyPair(pair), None | Some(KeyAlgorithm::EdDSA))
            if pair.curve == EllipticCurve::Ed25519 =>
        {
            Algorithm::EdDSA
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"kty":"RSA","kid":"good","use":"sig","n":"AQAB","e":"AQAB"}"#;

    fn set(members: &[&str]) -> Option<KeySet> {
        KeySet::read(format!(r#"{{"keys":[{}]}}"#, members.join(",")).as_bytes())
    }

    #[test]
    fn an_unusable_key_is_skipped_and_the_others_are_used() {
        let deep = format!(r#"{{"kty":"RSA","kid":"deep","n":{}1{}}}"#, "[".repeat(2000), "]".repeat(2000));
        for member in [
            "null",
            "7",
            "\"key\"",
            "[]",
            "{}",
            &deep,
            r#"{"kty":"RSA","kid":7,"n":"AQAB","e":"AQAB"}"#,
            r#"{"kty":"RSA","kid":null,"n":"AQAB","e":"AQAB"}"#,
            r#"{"kty":"RSA","n":"AQAB","e":"AQAB"}"#,
            r#"{"kty":"RSA","kid":"a","kid":"b","n":"AQAB","e":"AQAB"}"#,
            r#"{"kty":"RSA","kid":"a","n":"AQAB","e":"AQAB","x5c":"MIIB"}"#,
            r#"{"kty":"RSA","kid":"a","n":"AQAB","e":"AQAB","x":1e999}"#,
            r#"{"kty":"RSA","kid":"a","n":"AQAB"}"#,
            r#"{"kty":"RSA","kid":"a","n":"not base64url!","e":"AQAB"}"#,
            r#"{"kty":"RSA","kid":"a","n":"AQAB","e":"AQAB","alg":"RSA-OAEP"}"#,
            r#"{"kty":"RSA","kid":"a","n":"AQAB","e":"AQAB","use":"enc"}"#,
            r#"{"kty":"RSA","kid":"a","n":"AQAB","e":"AQAB","use":["sig"]}"#,
            r#"{"kty":"RSA","kid":"a","n":"AQAB","e":"AQAB","key_ops":["encrypt"]}"#,
            r#"{"kty":"RSA","kid":"a","n":"AQAB","e":"AQAB","key_ops":"verify"}"#,
            r#"{"kty":"EC","kid":"a","crv":"P-521","x":"AQAB","y":"AQAB"}"#,
            r#"{"kty":"EC","kid":"a","crv":"secp256k1","x":"AQAB","y":"AQAB"}"#,
            r#"{"kty":"EC","kid":"a","crv":"P-256","alg":"ES384","x":"AQAB","y":"AQAB"}"#,
            r#"{"kty":"OKP","kid":"a","crv":"X25519","x":"AQAB"}"#,
            r#"{"kty":"OKP","kid":"a","crv":"P-256","x":"AQAB"}"#,
            r#"{"kty":"AKP","kid":"a","alg":"ML-DSA-44","pub":"AQAB"}"#,
            // A symmetric key in a public set is not secret.
            r#"{"kty":"oct","kid":"a","alg":"HS256","k":"c2VjcmV0"}"#,
        ] {
            for members in [[member, GOOD], [GOOD, member]] {
                let set = set(&members).unwrap_or_else(|| panic!("{member} must not fail the whole set"));
                assert!(set.has("good") && !set.has("a"), "{member}");
                assert_eq!(set.skipped.values().sum::<usize>(), 1, "{member}");
                let reason = set.skipped.keys().next().unwrap();
                assert!(!reason.contains("AQAB") && !reason.contains("MIIB"), "{reason}");
            }
        }
    }

    #[test]
    fn keys_of_two_types_may_share_an_id() {
        let set = set(&[GOOD, r#"{"kty":"EC","kid":"good","crv":"P-256","x":"AQAB","y":"AQAB"}"#]).unwrap();
        for algorithm in [Algorithm::RS256, Algorithm::ES256] {
            assert_eq!(set.find("good", algorithm).count(), 1);
        }
        assert_eq!(set.find("good", Algorithm::PS256).count(), 0);
        assert_eq!(set.find("other", Algorithm::RS256).count(), 0);
    }

    #[test]
    fn an_invalid_key_set_is_refused_and_an_empty_one_is_accepted() {
        for text in ["", "[]", "{}", r#"{"keys":null}"#, r#"{"keys":{}}"#, r#"{"keys":[null]}"#, r#"{"keys":[{}]} x"#] {
            assert!(KeySet::read(text.as_bytes()).is_none(), "{text:?}");
        }
        assert!(!set(&[]).expect("an empty set is valid").has("good"));
        assert!(KeySet::read(br#"{"issuer":"ignored","keys":[]}"#).is_some());
    }
}
