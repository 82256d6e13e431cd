use proptest::prelude::*;

use super::*;
use crate::crypto::{DerSignature, PublicKey};

const X: &str = "a346c447bac867d15a0a0f555eece87b416ba6f917df1e39f1cba7515757b4da";
const Y: &str = "9eaf5f1604f7e47f1948af3b34ed2735aa565cfd97d5361e12b3b8603bdad73c";
/// A signature with r = 2^248 + 1 and s = 1.
const R: &str = "0100000000000000000000000000000000000000000000000000000000000001";
const S: &str = "0000000000000000000000000000000000000000000000000000000000000001";

fn key_form(text: &str) -> Option<String> {
    assert!(PublicKey::from_hex(text).is_err(), "a form is named only after a refusal: {text}");
    Form::of_key(text).map(|form| form.to_string())
}

fn signature_form(text: &str) -> Option<String> {
    assert!(DerSignature::from_hex(text).is_err(), "a form is named only after a refusal: {text}");
    Form::of_signature(text).map(|form| form.to_string())
}

/// Names the form as in both fields, and shows it.
fn name(text: &str) {
    for form in [Form::of_key(text), Form::of_signature(text)] {
        form.inspect(|form| drop(form.to_string()));
    }
}

fn assert_begins(form: Option<String>, begin: &str, text: &str) {
    let form = form.unwrap_or_else(|| panic!("no form for {text}"));
    assert!(form.starts_with(begin), "{text} looks like {form}");
}

#[test]
fn encodings_around_each_other_are_named_from_the_outside() {
    let point = format!("04{X}{Y}");
    assert_begins(key_form(&hex::encode(&point)), "hex of hex of an uncompressed point", "hex of hex");
    assert_begins(key_form(&point.to_uppercase().replace("04A3", "04:A3")), "hex with separators of an", "one colon");
    let pairs: Vec<_> = point.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap()).collect();
    for separator in [":", " ", ", ", "-", "\n"] {
        assert_begins(key_form(&pairs.join(separator)), "hex with separators of an uncompressed point", separator);
    }
    let bytes = hex::decode(&point).unwrap();
    let unsigned: Vec<_> = bytes.iter().map(u8::to_string).collect();
    let signed: Vec<_> = bytes.iter().map(|byte| byte.cast_signed().to_string()).collect();
    for numbers in [unsigned, signed] {
        let listed = numbers.join(",");
        let placed: Vec<_> =
            numbers.iter().enumerate().map(|(place, number)| format!("\"{place}\":{number}")).collect();
        for text in [
            format!("[{listed}]"),
            listed.replace(',', ", "),
            format!(r#"{{"type":"Buffer","data":[{listed}]}}"#),
            format!("{{{}}}", placed.join(",")),
        ] {
            assert_begins(key_form(&text), "a list of decimal numbers of an uncompressed point", &text);
        }
    }
}

#[test]
fn coordinates_of_other_lengths_are_recognised_with_and_without_the_first_byte() {
    // A point whose x has a leading zero.
    let x = "d7325d7646cd60d80a92738ceb345f844cffaf35841022cab176f692de8de1d7";
    let y = format!("{}5", &"0".repeat(63));
    for prefix in ["", "04"] {
        assert_begins(key_form(&format!("{prefix}00{X}00{Y}")), "coordinates with the sign byte", prefix);
        assert_begins(key_form(&format!("{prefix}{X}00{Y}")), "coordinates with the sign byte", prefix);
        assert_eq!(key_form(&format!("{prefix}{x}{}", &y[8..])), None, "four lost bytes are too many to guess");
        assert_begins(key_form(&format!("{prefix}{x}{}", &y[6..])), "coordinates without their leading zeros", prefix);
        assert_begins(key_form(&format!("{prefix}00{x}{}", &y[2..])), "coordinates with the sign byte", prefix);
    }
    assert_begins(key_form(&format!("{X}{Y}")), "X and Y without the first byte", "64 bytes");
    assert_begins(key_form(&format!("04{Y}{X}")), "a point with Y before X", "swapped");
}

#[test]
fn a_private_key_is_recognised_in_every_form_and_in_both_fields() {
    let secret = "11".repeat(32);
    let pkcs8 =
        format!("308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b0201010420{secret}a144034200 04{X}{Y}")
            .replace(' ', "");
    let sec1 = format!("30770201010420{secret}a00a06082a8648ce3d030107a14403420004{X}{Y}");
    for text in [
        pkcs8,
        sec1,
        format!("04{X}{Y}{secret}"),
        "-----BEGIN PRIVATE KEY-----\nMIGH\n-----END PRIVATE KEY-----".to_owned(),
        "-----BEGIN ENCRYPTED PRIVATE KEY-----".to_owned(),
        r#"{"kty":"EC","crv":"P-256","d":"x"}"#.to_owned(),
    ] {
        for form in [key_form(&text), signature_form(&text)] {
            assert!(form.as_ref().is_some_and(|form| form.contains("a private key: ")), "{text}: {form:?}");
        }
    }
}

#[test]
fn encodings_of_a_signature_that_are_not_der_are_told_apart() {
    for (der, begin) in [
        (format!("{R}{S}"), "raw r and s (IEEE P1363"),
        (format!("00{R}{S}"), "raw r and s of other lengths"),
        ("300602010102010100".to_owned(), "a DER signature with trailing bytes"),
        ("3007020101020101ff".to_owned(), "a DER signature with trailing bytes"),
        ("300602010102".to_owned(), "a DER signature that is cut off"),
        ("3006020101020180".to_owned(), "a DER signature with a negative integer"),
        ("300702010102020001".to_owned(), "a DER signature whose integers have leading zeros"),
        ("308106020101020101".to_owned(), "a signature in BER"),
        ("11".repeat(32), "32 bytes, which are a digest"),
        ("11".repeat(96), "a signature by a key on P-384 or P-521"),
        (format!("3066023100{}023100{}", "ff".repeat(48), "ee".repeat(48)), "a signature by a key on P-384"),
        ("11".repeat(256), "an RSA signature"),
        (format!("04{X}{Y}"), "a public key"),
        ("eyJhbGciOiJFUzI1NiJ9.e30.c2ln".to_owned(), "a JWS or JWT"),
    ] {
        assert_begins(signature_form(&der), begin, &der);
    }
    // Out of range: the message of the parser says so.
    assert_eq!(signature_form("3006020100020101"), None);
}

#[test]
fn keys_of_other_curves_and_algorithms_are_named() {
    let secp256k1 = "0479be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798\
                     483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8";
    assert_begins(key_form(secp256k1), "a key on secp256k1", "uncompressed");
    assert_begins(key_form(&format!("02{}", &secp256k1[2..66])), "a key on secp256k1", "compressed");
    assert_begins(
        key_form(&format!("3056301006072a8648ce3d020106052b8104000a034200{secp256k1}")),
        "a key on secp",
        "SPKI",
    );
    assert_begins(key_form(&format!("04{}", "11".repeat(96))), "a key on P-384 or P-521", "P-384");
    assert_begins(key_form(&format!("302a300506032b6570032100{}", "11".repeat(32))), "an Ed25519 key", "Ed25519");
}

#[test]
fn texts_that_encode_nothing_known_have_no_form() {
    for text in ["", " ", "0", "04", "signature", "test", "é", "0x", "-----BEGIN ", "[]", "{}", "[[[[", "00", "ffff"] {
        assert_eq!(key_form(text), None, "{text}");
        assert_eq!(signature_form(text), None, "{text}");
    }
    let endless = "30".repeat(CHARACTERS_MAX);
    assert_eq!(key_form(&endless), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn naming_the_form_of_any_text_never_panics(text in any::<String>()) {
        name(&text);
    }

    #[test]
    fn naming_the_form_of_any_bytes_never_panics(
        head in prop::sample::select(vec!["", "04", "06", "02", "30", "3045", "308201", "3059301306", "a5", "020100"]),
        bytes in prop::collection::vec(any::<u8>(), 0..140),
    ) {
        let text = format!("{head}{}", hex::encode(bytes));
        name(&text);
    }

    /// Of text in the alphabets of the encodings, and in pieces of them.
    #[test]
    fn naming_the_form_of_nearly_encoded_text_never_panics(
        text in r#"(0x|-----BEGIN [A-Z ]{0,9}-----|\)= |\[|\{"data":\[|eyJ)?[0-9a-fA-F:, \n+/=_\-\]\}]{0,300}(-----END )?"#,
    ) {
        name(&text);
    }

    #[test]
    fn a_form_has_no_part_of_the_input(bytes in prop::collection::vec(any::<u8>(), 64)) {
        prop_assume!(bytes[0] != 0x30); // may be a DER signature that is cut off
        let text = hex::encode(&bytes);
        let shown = Form::of_signature(&text).expect("64 bytes have a form").to_string();
        let again = Form::of_signature(&hex::encode([7; 64])).expect("64 bytes have a form").to_string();
        prop_assert_eq!(shown, again);
    }
}
