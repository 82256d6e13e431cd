//! Two independent implementations and ours agree on every signature, right or wrong: p256 parses for us and aws-lc-rs
//! verifies for us, so a difference between them would be a hole between the two.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ParsedPublicKey, UnparsedPublicKey};
use p256::ecdsa::signature::{Signer, Verifier};
use p256::ecdsa::{Signature, SigningKey};
use proptest::prelude::*;
use proptest::sample::Index;

use super::public_key;
use crate::crypto::{DerSignature, PublicKey};

/// What happens to a signature between the phone and us.
#[derive(Debug, Clone)]
enum Fate {
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

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        2 => Just(Fate::Untouched),
        2 => Just(Fate::HighTwin),
        4 => any::<Index>().prop_map(Fate::BitFlipped),
        4 => any::<(Index, u8)>().prop_map(|(at, byte)| Fate::ByteReplaced(at, byte)),
        2 => any::<(Index, u8)>().prop_map(|(at, byte)| Fate::ByteInserted(at, byte)),
        2 => any::<Index>().prop_map(Fate::ByteRemoved),
        1 => any::<Index>().prop_map(Fate::Truncated),
        1 => Just(Fate::NumbersSwapped),
        1 => any::<Vec<u8>>().prop_map(Fate::OtherMessage),
        1 => Just(Fate::OtherKey),
        1 => any::<Vec<u8>>().prop_map(Fate::Invented),
    ]
}

fn device() -> impl Strategy<Value = SigningKey> {
    any::<[u8; 32]>().prop_filter_map("a scalar in [1, n-1]", |bytes| SigningKey::from_slice(&bytes).ok())
}

/// The signature after its fate, and whether it must still verify; `None` leaves that to the implementations.
fn suffer(fate: &Fate, signature: &Signature, message: &[u8]) -> (Vec<u8>, Option<bool>) {
    let mut der = signature.to_der().as_bytes().to_vec();
    let (r, s) = (signature.r(), signature.s());
    match fate {
        Fate::Untouched => return (der, Some(true)),
        Fate::HighTwin => {
            let twin = Signature::from_scalars(r, -s).expect("n - s is in range");
            return (twin.to_der().as_bytes().to_vec(), Some(true));
        }
        Fate::NumbersSwapped => {
            let swapped = Signature::from_scalars(s, r).expect("both are in range");
            return (swapped.to_der().as_bytes().to_vec(), None);
        }
        Fate::OtherMessage(other) => return (der, Some(other == message)),
        Fate::OtherKey => return (der, None),
        Fate::Invented(bytes) => return (bytes.clone(), None),
        Fate::BitFlipped(at) => {
            let bit = at.index(der.len() * 8);
            der[bit / 8] ^= 1 << (bit % 8);
            return (der, Some(false));
        }
        Fate::ByteReplaced(at, byte) => {
            let at = at.index(der.len());
            der[at] = *byte;
        }
        Fate::ByteInserted(at, byte) => der.insert(at.index(der.len() + 1), *byte),
        Fate::ByteRemoved(at) => drop(der.remove(at.index(der.len()))),
        Fate::Truncated(at) => der.truncate(at.index(der.len())),
    }
    (der, None)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn p256_aws_lc_and_we_agree(phone in device(), stranger in device(), message in any::<Vec<u8>>(), fate in fate()) {
        let (der, expected) = suffer(&fate, &phone.sign(&message), &message);
        let claimed = if let Fate::OtherMessage(other) = &fate { other } else { &message };
        let owner = if matches!(fate, Fate::OtherKey) { &stranger } else { &phone };
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

    /// A key that we register is one that aws-lc-rs will verify under, and the other way round.
    #[test]
    fn aws_lc_accepts_the_uncompressed_points_that_we_accept(phone in device(), change in any::<Option<(Index, u8)>>()) {
        let mut bytes = *public_key(&phone).as_bytes();
        if let Some((at, byte)) = change {
            bytes[1 + at.index(64)] = byte;
        }
        let aws_lc = ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, bytes);
        prop_assert_eq!(PublicKey::from_sec1(&bytes).is_ok(), aws_lc.is_ok());
    }
}
