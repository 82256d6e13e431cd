//! The app hash of Android's SMS Retriever API, by which Android delivers an SMS to one app.
//!
//! The app computes it from its package name and signing certificate: eleven characters of Base64. It is public and
//! does not authenticate the sender of a request.

use std::fmt;

/// Length of an app hash, fixed by Google.
const LENGTH: usize = 11;

/// An app hash: eleven characters of `A-Z a-z 0-9 + / -` (docs/api-design.md#bind-a-device).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppSignature(String);

/// The text is not an app hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be {LENGTH} characters of A-Z a-z 0-9 + / -")]
pub struct InvalidAppSignature;

impl AppSignature {
    /// Reads an app hash without trimming.
    ///
    /// # Errors
    ///
    /// When the length or a character is wrong.
    pub fn parse(text: &str) -> Result<Self, InvalidAppSignature> {
        let well_formed =
            text.len() == LENGTH && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/-".contains(&b));
        well_formed.then(|| Self(text.to_owned())).ok_or(InvalidAppSignature)
    }

    /// The eleven characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AppSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eleven_characters_of_base64_are_an_app_hash() {
        for text in ["e2e-e2e-e2e", "FA+9qCX9VSu", "abc/DEF+012"] {
            assert_eq!(AppSignature::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn another_length_or_character_is_refused() {
        for text in ["", "e2e-e2e-e2", "e2e-e2e-e2e2", "e2e_e2e_e2e", "e2e e2e e2e", "e2e-e2e-e2\n", "äääääa"] {
            assert_eq!(AppSignature::parse(text), Err(InvalidAppSignature), "{text:?}");
        }
    }
}
