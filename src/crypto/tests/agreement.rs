//! Differential tests: `p256`, `aws-lc-rs` and this crate agree on every signature, right or wrong. This crate parses
//! with `p256` and verifies with `aws-lc-rs`, so a difference between them would be a vulnerability.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ParsedPublicKey, UnparsedPublicKey};
use p256::ecdsa::signature::{Signer, Verifier};
use p256::ecdsa::{Signature, SigningKey};
use proptest::prelude::*;
use proptest::sample::Index;

use super::public_key;
use crate::crypto::{DerSignature, PublicKey};

/// A change to a signature before it is verified.
#[derive(Debug, Clone)]
enum Mutation {
    Untouched,
    HighTwin,
    BitFlipped(Index),
    ByteReplaced(Index, u8),
    ByteInserted(Index, u8),
    ByteRemoved(Index),
    Truncated(Index),
    NumbersSwapped,
    OtherMessage(Vec<u8>),
    OtherKey,
    Invented(Vec<u8>),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        2 => Just(Mutation::Untouched),
        2 => Just(Mutation::HighTwin),
        4 => any::<Index>().prop_map(Mutation::BitFlipped),
        4 => any::<(Index, u8)>().prop_map(|(at, byte)| Mutation::ByteReplaced(at, byte)),
        2 => any::<(Index, u8)>().prop_map(|(at, byte)| Mutation::ByteInserted(at, byte)),
        2 => any::<Index>().prop_map(Mutation::ByteRemoved),
        1 => any::<Index>().prop_map(Mutation::Truncated),
        1 => Just(Mutation::NumbersSwapped),
        1 => any::<Vec<u8>>().prop_map(Mutation::OtherMessage),
        1 => Just(Mutation::OtherKey),
        1 => any::<Vec<u8>>().prop_map(Mutation::Invented),
    ]
}

fn device() -> impl Strategy<Value = SigningKey> {
    any::<[u8; 32]>().prop_filter_map("a scalar in [1, n-1]", |bytes| SigningKey::from_slice(&bytes).ok())
}

/// The mutated signature, and whether it must still verify; `None` if only agreement is required.
fn mutate(mutation: &Mutation, signature: &Signature, message: &[u8]) -> (Vec<u8>, Option<bool>) {
    let mut der = signature.to_der().as_bytes().to_vec();
    let (r, s) = (signature.r(), signature.s());
    match mutation {
        Mutation::Untouched => return (der, Some(true)),
        Mutation::HighTwin => {
            let twin = Signature::from_scalars(r, -s).expect("n - s is in range");
            return (twin.to_der().as_bytes().to_vec(), Some(true));
        }
        Mutation::NumbersSwapped => {
            let swapped = Signature::from_scalars(s, r).expect("both are in range");
            return (swapped.to_der().as_bytes().to_vec(), None);
        }
        Mutation::OtherMessage(other) => return (der, Some(other == message)),
        Mutation::OtherKey => return (der, None),
        Mutation::Invented(bytes) => return (bytes.clone(), None),
        Mutation::BitFlipped(at) => {
            let bit = at.index(der.len() * 8);
            der[bit / 8] ^= 1 << (bit % 8);
            return (der, Some(false));
        }
        Mutation::ByteReplaced(at, byte) => {
            let at = at.index(der.len());
            der[at] = *byte;
        }
        Mutation::ByteInserted(at, byte) => der.insert(at.index(der.len() + 1), *byte),
        Mutation::ByteRemoved(at) => drop(der.remove(at.index(der.len()))),
        Mutation::Truncated(at) => der.truncate(at.index(der.len())),
    }
    (der, None)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn p256_aws_lc_and_this_crate_agree(phone in device(), stranger in device(), message in any::<Vec<u8>>(), mutation in mutation()) {
        let (der, expected) = mutate(&mutation, &phone.sign(&message), &message);
        let claimed = if let Mutation::OtherMessage(other) = &mutation { other } else { &message };
        let owner = if matches!(mutation, Mutation::OtherKey) { &stranger } else { &phone };
        let key = public_key(owner);

        let ours = DerSignature::from_der(&der).is_ok_and(|signature| key.verifies(claimed, &signature));
        let p256 = Signature::from_der(&der).is_ok_and(|signature| owner.verifying_key().verify(claimed, &signature).is_ok());
        let aws_lc = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.as_bytes()).verify(claimed, &der).is_ok();

        prop_assert_eq!(ours, p256);
        prop_assert_eq!(ours, aws_lc);
        if let Some(expected) = expected {
            prop_assert_eq!(ours, expected);
        }
    }

    /// A key is valid for this crate exactly if `aws-lc-rs` can verify with it.
    #[test]
    fn aws_lc_accepts_exactly_the_points_that_this_crate_accepts(phone in device(), change in any::<Option<(Index, u8)>>()) {
        let mut bytes = *public_key(&phone).as_bytes();
        if let Some((at, byte)) = change {
            bytes[1 + at.index(64)] = byte;
        }
        let aws_lc = ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, bytes);
        prop_assert_eq!(PublicKey::from_sec1(&bytes).is_ok(), aws_lc.is_ok());
    }
}
