//! Who speaks to the person.
//!
//! The name stands in every text, so it has to leave the texts their promises: one segment, one number.

use super::gsm7;

/// The longest name, in bytes and in septets: with it, every sentence and an app hash fit `text`'s bounds.
const SENDER_NAME_MAX: usize = 40;

/// The name at the head of every text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SenderName(String);

/// Why a name cannot stand in the texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSenderName {
    /// Nothing, or white space at an end.
    #[error("must not be empty, nor start or end with white space")]
    Empty,
    /// The texts would not fit one SMS.
    #[error("must be at most {SENDER_NAME_MAX} characters long (accented letters count twice)")]
    TooLong,
    /// A digit beside the code confuses people and the phones that look for it.
    #[error("must not contain digits: the code is the only number in the text")]
    Digit,
    /// The character would turn the whole text into UCS-2, of which 70 characters fit one SMS.
    #[error("must not contain {0:?}, which the GSM-7 alphabet of SMS does not have")]
    NotGsm7(char),
}

impl SenderName {
    /// Reads a name.
    ///
    /// # Errors
    ///
    /// When the texts could not keep their promises with it.
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

    /// The name as it stands in the texts.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_gsm7_alphabet_are_accepted_as_they_are() {
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
    fn characters_that_would_change_the_encoding_are_refused_by_name() {
        for (name, foreign) in
            [("Banque française", 'ç'), ("Bank\u{a0}AG", '\u{a0}'), ("Bank 😀", '😀'), ("A\nB", '\n')]
        {
            assert_eq!(SenderName::parse(name), Err(InvalidSenderName::NotGsm7(foreign)), "{name:?}");
        }
    }

    #[test]
    fn length_counts_in_bytes_and_in_septets() {
        for name in ["N".repeat(41), "Ü".repeat(21), "[".repeat(21), "€".repeat(14)] {
            assert_eq!(SenderName::parse(&name), Err(InvalidSenderName::TooLong), "{name:?}");
        }
    }
}
