use p256::ecdsa::signature::Signer;
use p256::ecdsa::signature::hazmat::PrehashSigner;
use p256::ecdsa::{Signature, SigningKey};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use super::*;

const CODE: Aspect = Aspect { says: "the code", remedy: "" };

fn phone(seed: u8) -> SigningKey {
    SigningKey::from_slice(&[seed; 32]).expect("in range")
}

fn suspect_key(phone: &SigningKey, says: &'static str) -> SuspectKey {
    let key = PublicKey::from_sec1(phone.verifying_key().to_sec1_point(false).as_bytes()).expect("on the curve");
    SuspectKey { name: Aspect { says, remedy: if says.is_empty() { "" } else { "sign with the right key" } }, key }
}

fn diagnosis_of(signature: &Signature, text: &str) -> Option<String> {
    let signature = DerSignature::from_der(signature.to_der().as_bytes()).expect("strict");
    let texts = [
        SuspectText { name: CODE, text: text.into() },
        SuspectText { name: Aspect { says: "another text", remedy: "sign the code" }, text: "another".into() },
    ];
    let keys = [suspect_key(&phone(7), ""), suspect_key(&phone(8), "by another key")];
    diagnose(&signature, &texts, &keys).map(|diagnosis| diagnosis.to_string())
}

#[test]
fn mistakes_are_told_with_their_remedies() {
    let (right, other) = (phone(7), phone(8));
    let digest = Sha256::digest("212212");
    let cases: [(Signature, &str); 8] = [
        (right.sign(&digest), "it verifies for the code, hashed twice; give the signing call the text itself"),
        (right.sign(b"212212\n"), "it verifies for the code, followed by a line end; sign exactly"),
        (
            right.sign(hex::encode(digest).as_bytes()),
            "it verifies for the code, whose digest was signed as hex text; give",
        ),
        (right.sign(b"another"), "it verifies for another text; sign the code"),
        (
            right.sign(&Sha256::digest("212212\n")),
            "it verifies for the code, followed by a line end, hashed twice; sign exactly",
        ),
        (other.sign(b"212212"), "it verifies for the code, by another key; sign with the right key"),
        (
            other.sign(b"another"),
            "it verifies for another text, by another key; sign the code; sign with the right key",
        ),
        (
            right.sign_prehash(&[&[0; 26], &b"212212"[..]].concat()).expect("32 bytes"),
            "it verifies for the code, not hashed; hash",
        ),
    ];
    for (signature, expected) in cases {
        let found = diagnosis_of(&signature, "212212").unwrap_or_else(|| panic!("none for {expected}"));
        assert!(found.starts_with(expected), "{found}");
    }
}

#[test]
fn integers_that_are_exchanged_or_little_endian_are_found() {
    let (r, s) = Signer::<Signature>::sign(&phone(7), b"212212").split_bytes();
    let swapped = Signature::from_scalars(s, r).expect("in range");
    assert!(diagnosis_of(&swapped, "212212").is_some_and(|found| found.contains("with r and s exchanged; ")));
    let mut nonce = 0_u32;
    let reversed = loop {
        // Not every number is in range backwards.
        let text = format!("{nonce:06}");
        let (mut r, mut s) = Signer::<Signature>::sign(&phone(7), text.as_bytes()).split_bytes();
        r.reverse();
        s.reverse();
        if let Ok(signature) = Signature::from_scalars(r, s) {
            break (signature, text);
        }
        nonce += 1;
    };
    let found = diagnosis_of(&reversed.0, &reversed.1);
    assert!(found.is_some_and(|found| found.contains("with little-endian r and s; ")));
}

#[test]
fn a_signature_by_an_unknown_key_or_over_an_unknown_text_has_no_diagnosis() {
    assert_eq!(diagnosis_of(&phone(9).sign(b"212212"), "212212"), None);
    assert_eq!(diagnosis_of(&phone(7).sign(b"212213"), "212212"), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn no_text_to_sign_panics(text in any::<String>(), signed in any::<String>()) {
        let signature: Signature = phone(7).sign(signed.as_bytes());
        diagnosis_of(&signature, &text);
    }
}
