//! Parsing of signatures: strict DER, with r and s in range.

use p256::ecdsa::{Signature, signature::Signer};
use proptest::prelude::*;
use proptest::sample::Index;

use super::{ORDER, in_mixed_case, private_key, public_key, sequence};
use crate::crypto::{DerSignature, InvalidSignature};

const ORDER_PLUS_1: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632552";
const ORDER_MINUS_1: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632550";
const MAX: &str = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";

fn refusal(der: &[u8]) -> Option<InvalidSignature> {
    DerSignature::from_der(der).err()
}

/// A signature and its malleable twin (r, n - s).
fn twins(scalar: [u8; 32], message: &[u8]) -> [DerSignature; 2] {
    let signature: Signature = private_key(scalar).sign(message);
    let twin = Signature::from_scalars(signature.r(), -signature.s()).expect("n - s is in range when s is");
    [signature, twin].map(|signature| DerSignature::from_der(signature.to_der().as_bytes()).expect("strict DER"))
}

#[test]
fn the_length_is_limited_to_2048_characters_and_the_error_message_says_so() {
    for (length, text) in
        [(0, String::new()), (2049, "3".repeat(2049)), (2049, "é".repeat(2049)), (4096, "30".repeat(2048))]
    {
        let refused = DerSignature::from_hex(&text).expect_err("out of bounds");
        assert_eq!(refused, InvalidSignature::Length { characters: length });
        assert_eq!(refused.to_string(), format!("length ({length}) out of bounds (min: 1, max: 2048)"));
    }
    assert_eq!(DerSignature::from_hex("3").err(), Some(InvalidSignature::Hex));
    assert_eq!(DerSignature::from_hex(&"30".repeat(1024)).err(), Some(InvalidSignature::Der));
    assert_eq!(DerSignature::from_hex(&"é".repeat(2048)).err(), Some(InvalidSignature::Hex));
}

#[test]
fn a_signature_that_is_not_hex_is_refused() {
    let good = hex::encode(sequence("01", "01"));
    assert!(DerSignature::from_hex(&good).is_ok());
    for text in
        [format!("0x{good}"), format!(" {good}"), format!("{good}\n"), format!("{good}0"), good.replace('3', "g")]
    {
        assert_eq!(DerSignature::from_hex(&text).err(), Some(InvalidSignature::Hex), "{text}");
    }
}

#[test]
fn the_smallest_and_the_largest_integers_in_range_round_trip() {
    let largest = format!("00{ORDER_MINUS_1}");
    for (r, s) in [("01", "01"), ("01", &largest), (&largest, "01"), (&largest, &largest)] {
        let der = sequence(r, s);
        assert_eq!(DerSignature::from_der(&der).expect("in range").as_der(), der);
    }
}

/// CVE-2022-21449: Java accepted a signature with r = s = 0 over any message under any key.
#[test]
fn a_signature_with_r_or_s_out_of_range_is_refused_by_the_parser() {
    let [order, order_plus_1, max] = [ORDER, ORDER_PLUS_1, MAX].map(|number| format!("00{number}"));
    for bad in ["00", &order, &order_plus_1, &max] {
        for (r, s) in [(bad, "01"), ("01", bad), (bad, bad)] {
            assert_eq!(refusal(&sequence(r, s)), Some(InvalidSignature::Range), "{r} {s}");
        }
    }
}

#[test]
fn negative_and_oversized_integers_are_refused() {
    let two_to_the_256 = format!("01{}", "00".repeat(32));
    let wraps_to_one = format!("01{}", "00".repeat(31) + "01");
    for bad in ["ff", "80", ORDER, ORDER_MINUS_1, &two_to_the_256, &wraps_to_one] {
        for (r, s) in [(bad, "01"), ("01", bad), (bad, bad)] {
            assert_eq!(refusal(&sequence(r, s)), Some(InvalidSignature::Der), "{r} {s}");
        }
    }
}

#[test]
fn integers_with_leading_zeros_or_no_content_are_refused() {
    for bad in ["", "0001", "0000", "007f", "000080"] {
        for (r, s) in [(bad, "01"), ("01", bad)] {
            assert_eq!(refusal(&sequence(r, s)), Some(InvalidSignature::Der), "{r} {s}");
        }
    }
    assert_eq!(refusal(&sequence("0080", "7f")), None);
}

#[test]
fn every_encoding_other_than_der_is_refused() {
    assert_eq!(refusal(&hex::decode("3006020101020101").expect("hex")), None);
    for (der, why) in [
        ("308106020101020101", "long form length of the sequence"),
        ("30820006020101020101", "longer form length of the sequence"),
        ("300702810101020101", "long form length of r"),
        ("300702010102810101", "long form length of s"),
        ("30800201010201010000", "indefinite length"),
        ("300602010102010100", "a byte after the sequence"),
        ("3007020101020101ff", "a byte in the sequence"),
        ("3009020101020101020101", "a third integer"),
        ("3003020101", "one integer"),
        ("3000", "no integer"),
        ("3007020101020101", "a sequence longer than its content"),
        ("3005020101020101", "a sequence shorter than its content"),
        ("3006020101020201", "an s longer than its content"),
        ("3106020101020101", "a set"),
        ("3006030101020101", "a bit string for r"),
        ("3006020101040101", "an octet string for s"),
        ("1006020101020101", "a primitive sequence"),
        ("30082606020101020101", "a sequence in a sequence"),
        ("30", "a lone tag"),
        ("0201010201", "no sequence"),
    ] {
        assert_eq!(refusal(&hex::decode(der).expect("hex")), Some(InvalidSignature::Der), "{why}");
    }
    assert_eq!(refusal(&[]), Some(InvalidSignature::Der));
}

#[test]
fn the_high_s_twin_verifies_too_and_has_the_same_fingerprint() {
    let [signature, twin] = twins([7; 32], b"212212");
    let key = public_key(&private_key([7; 32]));
    assert!(key.verifies(b"212212", &signature));
    assert!(key.verifies(b"212212", &twin));
    assert_ne!(signature.as_der(), twin.as_der());
    assert_eq!(signature.fingerprint(), twin.fingerprint());
}

/// SHA-256 over `00..01 || 00..01`, computed with another tool; s = n - 1 is the twin of s = 1.
#[test]
fn the_fingerprint_is_the_digest_of_r_and_the_lower_s() {
    let expected = "c3c3a46684c07d12a9c238787df3049a6f258e7af203e5ddb66a8bd66637e108";
    for s in ["01", &format!("00{ORDER_MINUS_1}")] {
        let signature = DerSignature::from_der(&sequence("01", s)).expect("in range");
        assert_eq!(hex::encode(signature.fingerprint()), expected);
    }
}

#[test]
fn another_r_or_another_s_has_another_fingerprint() {
    let of = |r, s| DerSignature::from_der(&sequence(r, s)).expect("in range").fingerprint();
    assert_ne!(of("01", "02"), of("02", "01"));
    assert_ne!(of("01", "01"), of("01", "02"));
    assert_ne!(of("01", "01"), of("02", "01"));
}

#[test]
fn debug_shows_no_byte_of_a_signature() {
    let [signature, _] = twins([7; 32], b"212212");
    assert_eq!(format!("{signature:?}"), "DerSignature { .. }");
}

#[test]
fn each_error_message_names_the_expected_form() {
    assert!(InvalidSignature::Hex.to_string().contains("two digits for each byte"));
    assert!(InvalidSignature::Der.to_string().contains("SEQUENCE { r INTEGER, s INTEGER }"));
    assert!(InvalidSignature::Range.to_string().contains("between 1 and n-1"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn parsing_any_text_never_panics(text in any::<String>()) {
        prop_assert!(DerSignature::from_hex(&text).is_err());
    }

    #[test]
    fn parsing_any_hex_never_panics_and_ignores_case(text in "(30(0[0-9a-f]|4[4-8])02(01|2[01])?)?[0-9a-f]{0,150}") {
        let verdict = |text: &str| DerSignature::from_hex(text).map(|signature| signature.as_der().to_vec());
        prop_assert_eq!(verdict(&text), verdict(&text.to_uppercase()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_valid_signature_is_parsed_in_mixed_case(message in any::<[u8; 6]>(), choices in prop::collection::vec(any::<bool>(), 140)) {
        for signature in twins([7; 32], &message) {
            let text = in_mixed_case(&hex::encode(signature.as_der()), &choices);
            let read = DerSignature::from_hex(&text).map(|read| read.as_der().to_vec());
            prop_assert_eq!(read, Ok(signature.as_der().to_vec()));
        }
    }

    /// Most changes of one byte leave strict DER of other integers, which must round-trip unchanged.
    #[test]
    fn an_accepted_signature_is_the_only_encoding_of_its_integers(message in any::<[u8; 6]>(), at in any::<Index>(), byte in any::<u8>()) {
        let [signature, _] = twins([7; 32], &message);
        let mut der = signature.as_der().to_vec();
        let at = at.index(der.len());
        der[at] = byte;
        if let Ok(read) = DerSignature::from_der(&der) {
            prop_assert_eq!(read.as_der(), &*der);
            let reencoded = Signature::from_der(&der).expect("read once already").to_der();
            prop_assert_eq!(reencoded.as_bytes(), &*der);
        }
    }

    #[test]
    fn only_twins_have_the_same_fingerprint(one in any::<[u8; 6]>(), other in any::<[u8; 6]>()) {
        let [signature, twin] = twins([7; 32], &one);
        let [unrelated, _] = twins([7; 32], &other);
        prop_assert_eq!(signature.fingerprint(), twin.fingerprint());
        prop_assert_eq!(signature.fingerprint() == unrelated.fingerprint(), one == other);
    }
}
