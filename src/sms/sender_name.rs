//! The sender name at the start of every text.
//!
//! It is restricted so that every text fits one SMS segment and contains no digits but the code.

use super::gsm7;

/// The longest name, in bytes and in septets. With it, every sentence and an app hash fit the limits of `text`.
const SENDER_NAME_MAX: usize = 40;

/// A valid sender name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SenderName(String);

/// Why a sender name is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSenderName {
    /// Empty, or with leading or trailing white space.
    #[error("must not be empty, nor start or end with white space")]
    Empty,
    /// A text would not fit one SMS segment.
    #[error("must be at most {SENDER_NAME_MAX} characters long (accented letters count twice)")]
    TooLong,
    /// Other digits than the code confuse people and the code detection of phones.
    #[error("must not contain digits: the code is the only number in the text")]
    Digit,
    /// The character would turn the text into UCS-2, with only 70 characters per segment.
    #[error("must not contain {0:?}, which the GSM-7 alphabet of SMS does not have")]
    NotGsm7(char),
}

impl SenderName {
    /// Parses a sender name.
    ///
    /// # Errors
    ///
    /// When the name is invalid.
    pub fn parse(name: &str) -> Result<Self, InvalidSenderName> {
        if name.is_empty() || name.trim() != name {
            return Err(InvalidSenderName::Empty);
        }
        if name.contains(|c: char| c.is_numeric()) {
            return Err(InvalidSenderName::Digit);
        }
        if let Some(foreign) =
            name.chars().find(|c| c.is_control() || gsm7::septets(c.encode_utf8(&mut [0; 4])).is_none())
        {
            return Err(InvalidSenderName::NotGsm7(foreign));
        }
        if name.len().max(gsm7::septets(name).unwrap_or(usize::MAX)) > SENDER_NAME_MAX {
            return Err(InvalidSenderName::TooLong);
        }
        Ok(Self(name.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_gsm7_alphabet_are_accepted_unchanged() {
        for name in ["Sandbox", "Müller & Söhne Bank", "Crédit à terme", "A", "Bank [Test]", &"N".repeat(40)] {
            assert_eq!(SenderName::parse(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn an_empty_or_padded_name_is_refused() {
        for name in ["", " ", " Bank", "Bank ", "Bank\n"] {
            assert_eq!(SenderName::parse(name), Err(InvalidSenderName::Empty), "{name:?}");
        }
    }

    #[test]
    fn digits_of_any_script_are_refused() {
        for name in ["N26", "Bank 1", "Bank ٤", "Bank ²"] {
            assert_eq!(SenderName::parse(name), Err(InvalidSenderName::Digit), "{name:?}");
        }
    }

    #[test]
    fn characters_outside_gsm7_are_refused_and_named_in_the_error() {
        for (name, foreign) in
            [("Banque française", 'ç'), ("Bank\u{a0}AG", '\u{a0}'), ("Bank 😀", '😀'), ("A\nB", '\n')]
        {
            assert_eq!(SenderName::parse(name), Err(InvalidSenderName::NotGsm7(foreign)), "{name:?}");
        }
    }

    #[test]
    fn the_length_is_limited_in_bytes_and_in_septets() {
        for name in ["N".repeat(41), "Ü".repeat(21), "[".repeat(21), "€".repeat(14)] {
            assert_eq!(SenderName::parse(&name), Err(InvalidSenderName::TooLong), "{name:?}");
        }
    }
}
