//! The texts of an approval: values that a person reads, and the labels in front of them.

use std::fmt;

use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::props::{BidiControl, GeneralCategory};
use icu_properties::{CodePointMapData, CodePointSetData};
use serde::{Deserialize, Serialize};

/// The longest value, in characters.
pub const VALUE_MAX: usize = 140;

/// The longest label or action, in characters.
const LABEL_MAX: usize = 36;

/// The names of the lines that the service writes. The numbered ones (`payee-1`) are recognised by their beginning.
const TYPED: [&str; 12] = [
    "challenge",
    "nonce",
    "partner",
    "person",
    "device",
    "key",
    "expires",
    "action",
    "amount",
    "payee",
    "account",
    "reference",
];

/// A text that stands behind a label: 1 to 140 characters in NFC, on one line, without white space at its ends and without
/// characters that change the direction of the text around them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct LineValue(String);

/// Why a text is no value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidValue {
    /// Too long, or empty.
    #[error("length ({characters}) out of bounds (min: 1, max: {VALUE_MAX})")]
    Length {
        /// Its length in characters.
        characters: usize,
    },
    /// A space or the like at an end.
    #[error("must not begin or end with white space")]
    OuterSpace,
    /// Would end the line, or does something on a screen.
    #[error("must not contain control characters or line separators")]
    Control,
    /// Could make the text around it read differently.
    #[error("must not contain bidirectional controls")]
    Bidi,
    /// Has another spelling with other bytes.
    #[error("must be in Unicode normalization form C (NFC)")]
    NotNfc,
}

impl LineValue {
    /// Checks a text.
    pub fn parse(text: &str) -> Result<Self, InvalidValue> {
        let characters = text.chars().count();
        let is_outer_space = |c: char| c.is_whitespace() || c == '\u{feff}';
        if !(1..=VALUE_MAX).contains(&characters) {
            Err(InvalidValue::Length { characters })
        } else if text.chars().any(ends_a_line) {
            Err(InvalidValue::Control)
        } else if text.starts_with(is_outer_space) || text.ends_with(is_outer_space) {
            Err(InvalidValue::OuterSpace)
        } else if text.chars().any(|c| CodePointSetData::new::<BidiControl>().contains(c)) {
            Err(InvalidValue::Bidi)
        } else if !ComposingNormalizerBorrowed::new_nfc().is_normalized(text) {
            Err(InvalidValue::NotNfc)
        } else {
            Ok(Self(text.to_owned()))
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Says that there is a value and nothing about it: it may name a person.
impl fmt::Debug for LineValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineValue").finish_non_exhaustive()
    }
}

fn ends_a_line(c: char) -> bool {
    let category = CodePointMapData::<GeneralCategory>::new().get(c);
    matches!(category, GeneralCategory::Control | GeneralCategory::LineSeparator | GeneralCategory::ParagraphSeparator)
}

impl TryFrom<String> for LineValue {
    type Error = InvalidValue;

    fn try_from(text: String) -> Result<Self, InvalidValue> {
        Self::parse(&text)
    }
}

impl fmt::Display for LineValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of an action or of a line: `[a-z][a-z0-9-]{0,35}`.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Label(String);

/// The text is no label.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("must be 1 to {LABEL_MAX} characters of a-z, 0-9 and -, the first a letter")]
pub struct InvalidLabel;

impl Label {
    /// Checks a text.
    pub fn parse(text: &str) -> Result<Self, InvalidLabel> {
        let begins = text.starts_with(|c: char| c.is_ascii_lowercase());
        let fits = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        (begins && fits && text.len() <= LABEL_MAX).then(|| Self(text.to_owned())).ok_or(InvalidLabel)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the service itself writes lines of this name, so that a detail may not have it.
    #[must_use]
    pub fn is_typed(&self) -> bool {
        let numbered = self.0.rsplit_once('-').filter(|(_, number)| number.bytes().all(|b| b.is_ascii_digit()));
        let name = numbered.map_or(&*self.0, |(name, _)| name);
        let is_numbered_line = numbered.is_some() && matches!(name, "payee" | "account" | "amount");
        TYPED.contains(&&*self.0) || is_numbered_line
    }
}

impl TryFrom<String> for Label {
    type Error = InvalidLabel;

    fn try_from(text: String) -> Result<Self, InvalidLabel> {
        Self::parse(&text)
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_one_line_that_reads_as_its_bytes_are_stored() {
        for text in ["Café Müller GmbH", "x", "日本銀行", "👩‍👩‍👧", "a  b", &"é".repeat(140)] {
            assert_eq!(LineValue::parse(text).map(|it| it.to_string()).as_deref(), Ok(text));
        }
        for (text, fault) in [
            ("", InvalidValue::Length { characters: 0 }),
            (&*"x".repeat(141), InvalidValue::Length { characters: 141 }),
            (" x", InvalidValue::OuterSpace),
            ("x\u{a0}", InvalidValue::OuterSpace),
            ("\u{feff}x", InvalidValue::OuterSpace),
            ("a\nb", InvalidValue::Control),
            ("a\tb", InvalidValue::Control),
            ("a\u{85}b", InvalidValue::Control),
            ("a\u{2028}b", InvalidValue::Control),
            ("a\u{2029}b", InvalidValue::Control),
            ("a\u{202e}b", InvalidValue::Bidi),
            ("a\u{2067}b", InvalidValue::Bidi),
            ("a\u{200f}b", InvalidValue::Bidi),
            ("a\u{61c}b", InvalidValue::Bidi),
            ("Cafe\u{301}", InvalidValue::NotNfc),
            ("\u{212b}", InvalidValue::NotNfc),
        ] {
            assert_eq!(LineValue::parse(text).err(), Some(fault), "{text:?}");
        }
    }

    #[test]
    fn a_label_is_a_short_word_that_the_service_does_not_write_itself() {
        for text in ["a", "card-limit", "a-1", &"a".repeat(36)] {
            assert!(Label::parse(text).is_ok_and(|it| !it.is_typed()), "{text}");
        }
        for text in ["", "A", "1a", "-a", "a b", "a:", "ä", &"a".repeat(37)] {
            assert!(Label::parse(text).is_err(), "{text}");
        }
        for text in ["challenge", "expires", "amount", "payee", "payee-1", "amount-10", "account-007"] {
            assert!(Label::parse(text).unwrap().is_typed(), "{text}");
        }
        for text in ["payees", "payee-x", "reference-1", "payee-1-a"] {
            assert!(!Label::parse(text).unwrap().is_typed(), "{text}");
        }
    }
}
