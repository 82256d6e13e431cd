//! The languages of SMS texts.
//!
//! A closed list: every text exists in each language, and another code is refused, without fallback to a related
//! language.

/// A language of docs/api-design.md#bind-a-device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Language {
    /// German, the default.
    #[default]
    De,
    /// English.
    En,
    /// French.
    Fr,
}

impl Language {
    /// Every language.
    pub const ALL: [Self; 3] = [Self::De, Self::En, Self::Fr];

    /// Reads a code of the API; case-sensitive (docs/api-design.md#conventions).
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.as_str() == code)
    }

    /// The ISO 639-1 code, lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::De => "de",
            Self::En => "en",
            Self::Fr => "fr",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_round_trips_through_its_code() {
        for language in Language::ALL {
            assert_eq!(Language::parse(language.as_str()), Some(language));
        }
    }

    #[test]
    fn only_the_listed_codes_are_languages() {
        for code in ["", "DE", "de-DE", "it", " de"] {
            assert_eq!(Language::parse(code), None, "{code:?}");
        }
    }

    #[test]
    fn german_is_the_default() {
        assert_eq!(Language::default(), Language::De);
    }
}
