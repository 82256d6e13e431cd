//! Signatures, as hexadecimal text and as raw DER.
//!
//! The service accepts exactly the inputs that an independent strict reading of ITU-T X.690 accepts: the encoding of
//! two numbers in [1, n-1] that encode to the same bytes again (docs/api-design.md#cryptography).

use device_management::crypto::{DerSignature, InvalidSignature};

use super::Verdict;

/// The longest text (docs/api-design.md#cryptography).
const CHARACTERS_MAX: usize = 2048;

/// The order of P-256 (SEC 2 section 2.4.2).
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
    0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// Parses the input as raw DER and, where it is UTF-8, as text.
pub fn try_out(data: &[u8]) -> Verdict {
    let as_der = try_der(data);
    let as_text = std::str::from_utf8(data).is_ok_and(try_text);
    Verdict::taken_if(as_der || as_text)
}

fn try_der(der: &[u8]) -> bool {
    let signature = DerSignature::from_der(der);
    assert_eq!(signature.is_ok(), is_strict(der), "exactly the strict DER is accepted: {}", hex::encode(der));
    if let Ok(signature) = &signature {
        assert_eq!(signature.as_der(), der, "the bytes are unchanged");
    }
    signature.is_ok()
}

fn try_text(text: &str) -> bool {
    match DerSignature::from_hex(text) {
        Ok(signature) => {
            let hex = hex::encode(signature.as_der());
            assert_eq!(hex, text.to_ascii_lowercase(), "the text is unchanged, except for case");
            let upper = DerSignature::from_hex(&hex.to_ascii_uppercase()).expect("the case of digits does not matter");
            assert_eq!(upper.fingerprint(), signature.fingerprint());
            assert!(try_der(signature.as_der()));
            true
        }
        Err(fault) => {
            let characters = text.chars().count();
            let length =
                (!(1..=CHARACTERS_MAX).contains(&characters)).then_some(InvalidSignature::Length { characters });
            match length {
                Some(length) => assert_eq!(fault, length),
                None => assert!(!hex::decode(text).is_ok_and(|der| is_strict(&der)), "{fault}: {text}"),
            }
            false
        }
    }
}

/// Whether these bytes are the strict encoding of two numbers in [1, n-1]: decoded without checks, encoded, compared.
fn is_strict(der: &[u8]) -> bool {
    let [_, _, _, r_length, rest @ ..] = der else { return false };
    let Some((r, rest)) = rest.split_at_checked(usize::from(*r_length)) else { return false };
    let [_, _, s @ ..] = rest else { return false };
    let (Some(r), Some(s)) = (scalar(r), scalar(s)) else { return false };
    let numbers = [integer(r), integer(s)].concat();
    der == [&[0x30, small(numbers.len())], &numbers[..]].concat()
}

/// A number in [1, n-1] without leading zeros.
fn scalar(octets: &[u8]) -> Option<&[u8]> {
    let significant = &octets[octets.iter().position(|octet| *octet != 0)?..];
    let below_order = significant.len() < ORDER.len() || (significant.len() == ORDER.len() && *significant < ORDER[..]);
    below_order.then_some(significant)
}

/// A positive INTEGER: the sign bit must be zero.
fn integer(significant: &[u8]) -> Vec<u8> {
    let sign: &[u8] = if significant[0] >= 0x80 { &[0] } else { &[] };
    [&[0x02, small(sign.len() + significant.len())], sign, significant].concat()
}

fn small(length: usize) -> u8 {
    u8::try_from(length).expect("two numbers of 33 octets and their heads are short")
}
