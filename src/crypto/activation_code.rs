//! Activation codes: 12 characters that are derived from a challenge's id on demand, like a one-time code, and never
//! stored.
//!
//! The message of the HMAC begins with a label, so no activation code is derived from the input of a one-time code.

use secrecy::{ExposeSecret, SecretBox};

/// Characters of a code.
const LENGTH: usize = 12;

/// Bits of a character: a code has 60.
const BITS: usize = 5;

/// 32 characters of which no two look alike in lower case (BIP 173, Bech32).
const ALPHABET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/// Separates the derivation from that of one-time codes, whose message is an id of 16 bytes alone.
pub(super) const LABEL: &[u8] = b"device-management/activation-code/v1";

/// A code of 12 lower-case characters.
///
/// It has no `Debug`, no `Display` and no `Clone`, and is zeroized on drop.
pub struct ActivationCode(SecretBox<str>);

impl ActivationCode {
    /// The first 60 bits of a MAC.
    pub(super) fn from_mac(mac: &[u8]) -> Self {
        let first = u64::from_be_bytes(mac[..8].try_into().expect("the slice has eight bytes"));
        // Full capacity: a reallocation would leave a copy of the code in freed memory.
        let mut code = String::with_capacity(LENGTH);
        for place in 1..=LENGTH {
            let digit = (first >> (64 - BITS * place)) & 0x1f;
            code.push(char::from(ALPHABET[digit as usize]));
        }
        Self(code.into())
    }

    /// The characters, for the answer to the partner and as the message that a device signs.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::crypto::{OtpSecret, OtpSecrets};

    const SECRET: &[u8] = b"a secret of thirty-two bytes ...";

    fn secrets(version: u32) -> OtpSecrets {
        OtpSecrets::new(version, OtpSecret::new(SECRET), None)
    }

    fn code(id: [u8; 16]) -> String {
        secrets(1).derive_activation(1, &id).expect("the secret is configured").expose().to_owned()
    }

    #[test]
    fn the_alphabet_has_32_lower_case_characters_that_differ_clearly() {
        let distinct: HashSet<u8> = ALPHABET.iter().copied().collect();
        assert_eq!(distinct.len(), 32);
        assert!(ALPHABET.iter().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()));
        assert!(b"1bio".iter().all(|c| !distinct.contains(c)), "1, b, i and o look like l, 6, l and 0");
    }

    /// HMAC-SHA256 over the label and the id, computed with Python's hmac: the first 60 bits in
    /// groups of five.
    #[test]
    fn the_code_of_a_known_id_is_exact() {
        assert_eq!(code([7; 16]), "rguylr9stdm9");
    }

    #[test]
    fn a_secret_that_is_not_configured_gives_no_code() {
        assert!(secrets(3).derive_activation(1, &[7; 16]).is_none());
    }

    proptest! {
        #[test]
        fn every_code_has_12_characters_of_the_alphabet(id: [u8; 16], other: [u8; 16]) {
            let code = code(id);
            prop_assert_eq!(code.len(), LENGTH);
            prop_assert!(code.bytes().all(|c| ALPHABET.contains(&c)));
            prop_assert_eq!(id == other, code == self::code(other));
        }
    }
}
