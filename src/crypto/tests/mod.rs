//! Unit tests with published vectors, hostile input and second implementations.

mod agreement;
mod otp;
mod public_key;
mod seed;
mod signature;
mod software_key;
mod wycheproof;

use p256::ecdsa::SigningKey;

use super::PublicKey;

/// The order n of the group of P-256 (SEC 2 section 2.4.2).
const ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";

/// A deterministic private key of a device.
fn private_key(bytes: [u8; 32]) -> SigningKey {
    SigningKey::from_slice(&bytes).expect("the test's scalar is in range")
}

fn public_key(private_key: &SigningKey) -> PublicKey {
    let point = private_key.verifying_key().to_sec1_point(false);
    PublicKey::from_sec1(point.as_bytes()).expect("a derived key is valid")
}

/// DER of `SEQUENCE { INTEGER, INTEGER }` with the content octets exactly as given, also invalid ones.
fn sequence(r: &str, s: &str) -> Vec<u8> {
    let [r, s] = [r, s].map(|content| hex::decode(content).expect("the test's hex is right"));
    let short = |length: usize| u8::try_from(length).ok().filter(|length| *length < 0x80).expect("a short form length");
    let mut der = vec![0x30, short(r.len() + s.len() + 4), 0x02, short(r.len())];
    der.extend(&r);
    der.extend([0x02, short(s.len())]);
    der.extend(&s);
    der
}

/// `text` with the case of each letter taken from `choices`.
fn in_mixed_case(text: &str, choices: &[bool]) -> String {
    let choices = choices.iter().cycle();
    text.chars()
        .zip(choices)
        .map(|(c, upper)| if *upper { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() })
        .collect()
}
