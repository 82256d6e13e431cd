//! Parsing of public keys: only the uncompressed encoding of a point on P-256 is accepted.

use p256::ecdsa::signature::Signer;
use proptest::prelude::*;

use super::{in_mixed_case, private_key, public_key};
use crate::crypto::{DerSignature, InvalidPublicKey, PublicKey};

const X: &str = "a346c447bac867d15a0a0f555eece87b416ba6f917df1e39f1cba7515757b4da";
const Y: &str = "9eaf5f1604f7e47f1948af3b34ed2735aa565cfd97d5361e12b3b8603bdad73c";
const ZERO: &str = "0000000000000000000000000000000000000000000000000000000000000000";

fn refusal(text: &str) -> Option<InvalidPublicKey> {
    PublicKey::from_hex(text).err()
}

#[test]
fn an_uncompressed_point_is_parsed_in_either_case_and_round_trips() {
    let lower = PublicKey::from_hex(&format!("04{X}{Y}")).expect("on the curve");
    let upper = PublicKey::from_hex(&format!("04{X}{Y}").to_uppercase()).expect("on the curve");
    assert_eq!(lower, upper);
    assert_eq!(hex::encode(lower.as_bytes()), format!("04{X}{Y}"));
    assert_eq!(PublicKey::from_trusted(*lower.as_bytes()), lower);
}

#[test]
fn a_key_of_another_length_is_refused() {
    for text in [String::new(), "04".into(), format!("04{X}"), format!("04{X}{Y}00"), format!("{X}{Y}")] {
        assert_eq!(refusal(&text), Some(InvalidPublicKey::Length), "{text}");
    }
    let odd = format!("04{X}{Y}");
    assert_eq!(refusal(&odd[1..]), Some(InvalidPublicKey::Length));
    assert_eq!(PublicKey::from_sec1(&[4; 64]).err(), Some(InvalidPublicKey::Length));
    assert_eq!(PublicKey::from_sec1(&[]).err(), Some(InvalidPublicKey::Length));
}

#[test]
fn a_key_that_is_not_hex_is_refused() {
    let middle = &X[1..];
    for text in [format!("04g{middle}{Y}"), format!("0x{X}{Y}"), format!(" 4{X}{Y}"), format!("04é{middle}{Y}")] {
        assert_eq!(refusal(&text), Some(InvalidPublicKey::Hex), "{text}");
    }
}

#[test]
fn a_compressed_point_is_refused() {
    for prefix in ["02", "03"] {
        assert_eq!(refusal(&format!("{prefix}{X}")), Some(InvalidPublicKey::Length));
        assert_eq!(refusal(&format!("{prefix}{X}{Y}")), Some(InvalidPublicKey::Prefix));
    }
}

#[test]
fn a_hybrid_point_is_refused() {
    for prefix in ["06", "07"] {
        assert_eq!(refusal(&format!("{prefix}{X}{Y}")), Some(InvalidPublicKey::Prefix));
    }
}

#[test]
fn every_encoding_of_the_point_at_infinity_is_refused() {
    assert_eq!(refusal("00"), Some(InvalidPublicKey::Length));
    assert_eq!(refusal(&format!("00{ZERO}{ZERO}")), Some(InvalidPublicKey::Prefix));
    assert_eq!(refusal(&format!("04{ZERO}{ZERO}")), Some(InvalidPublicKey::Point));
}

#[test]
fn a_point_that_is_not_on_the_curve_is_refused() {
    let moved = Y.replace("9eaf", "9eae");
    assert_eq!(refusal(&format!("04{X}{moved}")), Some(InvalidPublicKey::Point));
    assert_eq!(refusal(&format!("04{Y}{X}")), Some(InvalidPublicKey::Point));
}

/// x = 1 is on the curve's quadratic twist: no y solves the equation; this y solves its negative.
#[test]
fn a_point_on_the_twist_is_refused() {
    let x = format!("{}1", &ZERO[1..]);
    let y = "de17b2671045fe58740248c17a8bd2fb2ef7c3c49b01da9f903efa3dcda669c7";
    assert_eq!(refusal(&format!("04{x}{y}")), Some(InvalidPublicKey::Point));
}

#[test]
fn the_generator_of_another_curve_of_the_same_size_is_refused() {
    let secp256k1 = "0479be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798\
                     483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8";
    assert_eq!(refusal(secp256k1), Some(InvalidPublicKey::Point));
}

/// The point with x = 0, and a second encoding of it with x = p.
#[test]
fn an_x_that_is_not_reduced_is_refused() {
    let y = "66485c780e2f83d72433bd5d84a06bb6541c2af31dae871728bf856a174f93f4";
    let p = "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff";
    assert_eq!(refusal(&format!("04{ZERO}{y}")), None);
    assert_eq!(refusal(&format!("04{p}{y}")), Some(InvalidPublicKey::Point));
}

/// A point with y = 5, and a second encoding of it with y = p + 5.
#[test]
fn a_y_that_is_not_reduced_is_refused() {
    let x = "d7325d7646cd60d80a92738ceb345f844cffaf35841022cab176f692de8de1d7";
    let p_plus_5 = "ffffffff00000001000000000000000000000001000000000000000000000004";
    assert_eq!(refusal(&format!("04{x}{}5", &ZERO[1..])), None);
    assert_eq!(refusal(&format!("04{x}{p_plus_5}")), Some(InvalidPublicKey::Point));
}

#[test]
fn no_signature_verifies_under_stored_bytes_that_are_not_a_point() {
    let phone = private_key([7; 32]);
    let signature: p256::ecdsa::DerSignature = phone.sign(b"212212");
    let signature = DerSignature::from_der(signature.as_bytes()).expect("a signer encodes strictly");
    let good = *public_key(&phone).as_bytes();
    let mut off_curve = good;
    off_curve[64] ^= 1;
    assert!(PublicKey::from_trusted(good).verifies(b"212212", &signature));
    assert!(!PublicKey::from_trusted(off_curve).verifies(b"212212", &signature));
    assert!(!PublicKey::from_trusted([0; 65]).verifies(b"212212", &signature));
}

#[test]
fn debug_shows_no_byte_of_a_key() {
    assert_eq!(format!("{:?}", PublicKey::from_trusted([0x5a; 65])), "PublicKey { .. }");
}

#[test]
fn each_error_message_names_the_expected_form() {
    assert!(InvalidPublicKey::Length.to_string().contains("130 hexadecimal characters"));
    assert!(InvalidPublicKey::Hex.to_string().contains("hexadecimal digits"));
    assert!(InvalidPublicKey::Prefix.to_string().contains("start with 04"));
    assert!(InvalidPublicKey::Point.to_string().contains("point on the curve P-256"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn parsing_any_text_never_panics(text in any::<String>()) {
        prop_assert!(PublicKey::from_hex(&text).is_err());
    }

    #[test]
    fn parsing_hex_of_about_the_right_length_never_panics_and_ignores_case(text in "(04)?[0-9a-f]{128,130}") {
        prop_assert_eq!(PublicKey::from_hex(&text), PublicKey::from_hex(&text.to_uppercase()));
    }

    #[test]
    fn a_valid_key_is_parsed_in_mixed_case(scalar in 1_u64.., choices in prop::collection::vec(any::<bool>(), 130)) {
        let mut bytes = [0; 32];
        bytes[24..].copy_from_slice(&scalar.to_be_bytes());
        let key = public_key(&private_key(bytes));
        let text = in_mixed_case(&hex::encode(key.as_bytes()), &choices);
        prop_assert_eq!(PublicKey::from_hex(&text), Ok(key));
    }
}
