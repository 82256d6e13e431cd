//! The partner (tenant) and the partner's person.

use std::fmt;

/// A partner: the bank or fintech that a client belongs to. All data belongs to one partner and is visible only to it.
///
/// 1 to 64 characters of `a-z 0-9 - _`, chosen by the operator when the first client is created.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PartnerId(String);

impl PartnerId {
    /// `None` when the text breaks this rule.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_');
        fits.then(|| Self(text.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PartnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The longest `person_id` (docs/api-design.md#conventions).
pub const PERSON_ID_MAX: usize = 64;

/// A person, identified by the partner's opaque string: 1 to 64 visible ASCII characters
/// (docs/api-design.md#conventions).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct PersonId(String);

impl PersonId {
    /// `None` when the text breaks this rule.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=PERSON_ID_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        fits.then(|| Self(text.to_owned()))
    }

    /// The partner's string.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PersonId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl serde::Serialize for PersonId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for PersonId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("a person's id is 1 to 64 visible ASCII characters"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_id_is_1_to_64_visible_ascii_characters() {
        assert!(PersonId::parse("ec3d16cbc106f481b72d881d90c89cc5cper").is_some());
        assert!(PersonId::parse(&"x".repeat(64)).is_some());
        for text in ["", " ", "a b", "a\0", "ä", "a\u{7f}", &"x".repeat(65)] {
            assert_eq!(PersonId::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_partner_id_is_1_to_64_lower_case_characters() {
        assert!(PartnerId::parse("acme-bank_2").is_some());
        for text in ["", "Acme", "a b", "a/b", &"x".repeat(65)] {
            assert_eq!(PartnerId::parse(text), None, "{text:?}");
        }
    }
}
