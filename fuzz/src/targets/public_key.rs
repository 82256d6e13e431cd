//! Public keys, as hexadecimal text and as raw SEC 1 bytes.
//!
//! Points come in pairs: for each (x, y) on the curve, (x, p-y) is on it too, and no other y.

use device_management::crypto::{DerSignature, InvalidPublicKey, PublicKey};

use super::Verdict;

/// The field of P-256 (SEC 2 section 2.4.2).
const FIELD: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
];

/// The signature with r = s = 1, which no signer produces.
const ABSURD_SIGNATURE: &str = "3006020101020101";

/// Parses the input as a raw point and, where it is UTF-8, as text.
pub fn try_out(data: &[u8]) -> Verdict {
    let as_point = try_point(data);
    let as_text = std::str::from_utf8(data).is_ok_and(try_text);
    Verdict::taken_if(as_point || as_text)
}

fn try_text(text: &str) -> bool {
    match PublicKey::from_hex(text) {
        Ok(key) => {
            assert_eq!(hex::encode(key.as_bytes()), text.to_ascii_lowercase(), "a key has one text, except for case");
            assert!(PublicKey::from_hex(&text.to_ascii_uppercase()).is_ok_and(|upper| upper == key));
            try_point(key.as_bytes())
        }
        Err(fault) => {
            assert_eq!(fault == InvalidPublicKey::Length, text.chars().count() != 130, "{fault}: {text}");
            false
        }
    }
}

fn try_point(bytes: &[u8]) -> bool {
    let Ok(key) = PublicKey::from_sec1(bytes) else { return false };
    assert_eq!(key.as_bytes(), bytes, "the bytes are unchanged");
    assert_eq!(bytes[0], 4, "only uncompressed points are accepted");

    let mut twin = *key.as_bytes();
    negate(&mut twin[33..]);
    assert!(PublicKey::from_sec1(&twin).is_ok(), "the mirror image of a point is on the curve");
    let mut beside = *key.as_bytes();
    beside[64] ^= 1;
    assert!(PublicKey::from_sec1(&beside).is_err(), "a point off the curve is refused");

    let absurd = DerSignature::from_hex(ABSURD_SIGNATURE).expect("well-formed");
    assert!(!key.verifies(b"212212", &absurd), "no key verifies a signature that it did not make");
    true
}

/// y becomes p-y. No point of P-256 has y = 0: its order is odd.
fn negate(y: &mut [u8]) {
    let mut borrow = 0;
    for (octet, field) in y.iter_mut().zip(FIELD).rev() {
        let difference = i16::from(field) - i16::from(*octet) - borrow;
        borrow = i16::from(difference < 0);
        *octet = u8::try_from(difference.rem_euclid(256)).expect("a remainder of 256 is an octet");
    }
}
