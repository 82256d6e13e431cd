//! A phone number that can receive an SMS.
//!
//! Which numbers exist, and which of them are mobile, is the knowledge of the `phonenumber` crate. This module only
//! decides what people may type around the digits and hands the crate nothing but `+` and digits. A number is personal:
//! `Debug` and `Display` show a mask, and [`MobileNumber::as_e164`] is the one way to the digits.

use std::fmt;

use phonenumber::metadata::DATABASE;
use phonenumber::{PhoneNumber, Type};

use super::country::Country;

/// Longer input is refused unread. The longest number has 15 digits; the rest is room for what people put between them.
const INPUT_MAX: usize = 64;

/// Digits of a number with its country code, E.164 section 6.1.
const DIGITS_MAX: usize = 15;

/// What may stand between the digits (contract section 5).
const SEPARATORS: [char; 7] = [' ', '-', '_', '/', '.', '(', ')'];

/// A valid number of a mobile network in E.164 form, `+4915123456789`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct MobileNumber(String);

/// Why a text is not a mobile number, in words for the partner's developer. It never repeats the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMobileNumber {
    /// The text is longer than any way to write a number.
    #[error("must be at most {INPUT_MAX} characters long")]
    TooLong,
    /// The text does not start with `+`, so nobody can tell which country it belongs to.
    #[error("must start with + and a country code")]
    NoCountryCode,
    /// The text holds something else than digits and separators.
    #[error("may contain only digits, spaces and - _ / . ( ) after the +")]
    UnexpectedCharacter,
    /// No network has this number.
    #[error("is not a valid phone number")]
    NotANumber,
    /// The number exists but cannot receive an SMS.
    #[error("is not a mobile number")]
    NotMobile,
}

impl MobileNumber {
    /// Reads a number as people write it, country code included.
    ///
    /// The national zero may be there too: `+49 (0)151 23456789` is `+4915123456789`.
    ///
    /// # Errors
    ///
    /// When no mobile network has such a number.
    pub fn parse(text: &str) -> Result<Self, InvalidMobileNumber> {
        if text.len() > INPUT_MAX {
            return Err(InvalidMobileNumber::TooLong);
        }
        let bare = text.replace(SEPARATORS, "");
        let digits = bare.strip_prefix('+').ok_or(InvalidMobileNumber::NoCountryCode)?;
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(InvalidMobileNumber::UnexpectedCharacter);
        }
        let number = phonenumber::parse(None, &bare).map_err(|_| InvalidMobileNumber::NotANumber)?;
        let e164 = format!("+{}{}", number.code().value(), number.national());
        if !number.is_valid() || e164.len() > '+'.len_utf8() + DIGITS_MAX {
            return Err(InvalidMobileNumber::NotANumber);
        }
        if !is_mobile(&number) {
            return Err(InvalidMobileNumber::NotMobile);
        }
        Ok(Self(e164))
    }

    /// Takes back what [`Self::as_e164`] gave to the database.
    ///
    /// Not checked again: numbering plans change, and a number that was valid when it was stored stays readable.
    #[must_use]
    pub fn from_stored(e164: String) -> Self {
        Self(e164)
    }

    /// The number in clear, for the SMS provider, the database and the partner who owns it. Never for a log.
    #[must_use]
    pub fn as_e164(&self) -> &str {
        &self.0
    }

    /// The country whose network it is of.
    #[must_use]
    pub fn country(&self) -> Country {
        Country::of_e164(&self.0)
    }
}

/// Whether an SMS can reach a valid number.
///
/// [`Type::FixedLineOrMobile`] counts: North America and a few others do not tell the two apart. Voice over IP and
/// personal (forwarding) numbers do not: they can be had anonymously and prove no possession of a phone.
fn is_mobile(number: &PhoneNumber) -> bool {
    match number.number_type(&DATABASE) {
        Type::Mobile | Type::FixedLineOrMobile => true,
        // phonenumber 0.3.10 drops leading zeros before it looks up the type. Ivory Coast, Benin and Congo write
        // theirs with one, and it belongs to the number.
        Type::Unknown if number.national().zeros() > 0 => {
            let national = number.national().to_string();
            let regions = DATABASE.by_code(&number.code().value()).unwrap_or_default();
            regions.iter().any(|region| region.descriptors().mobile().is_some_and(|mobile| mobile.is_match(&national)))
        }
        _ => false,
    }
}

/// `+49*******01`: enough to recognise one's own number. The stars do not tell its length.
impl fmt::Display for MobileNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |range: std::ops::Range<usize>| self.0.get(range).unwrap_or_default();
        let end = self.0.len();
        if end < 8 {
            return f.write_str("*******");
        }
        write!(f, "{}*******{}", shown(0..3), shown(end - 2..end))
    }
}

impl fmt::Debug for MobileNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: Result<&str, InvalidMobileNumber>) {
        let found = MobileNumber::parse(text);
        assert_eq!(found.as_ref().map(MobileNumber::as_e164).map_err(|e| *e), expected, "{text:?}");
    }

    #[test]
    fn what_people_write_between_the_digits_is_dropped() {
        for text in [
            "+4915123456789",
            "+49 151 23456789",
            "+49-151-2345-6789",
            "+49_151_23456789",
            "+49 151/23456789",
            "+49.151.23456789",
            "(+49) 151 23456789",
            "+49 (0)151 23456789",
        ] {
            check(text, Ok("+4915123456789"));
        }
    }

    #[test]
    fn mobile_numbers_of_many_countries_are_accepted() {
        for number in [
            "+43664123456",
            "+41781234567",
            "+423660234567",
            "+33631966543",
            "+393123456789",
            "+34612345678",
            "+447400123456",
            "+32474091150",
            "+35699123456",
            "+38344123456",
            "+5511961234567",
            "+819012345678",
        ] {
            check(number, Ok(number));
        }
    }

    #[test]
    fn countries_that_do_not_tell_mobile_from_fixed_are_accepted() {
        check("+1 650-253-0000", Ok("+16502530000"));
        check("+1 613 782 7274", Ok("+16137827274"));
    }

    #[test]
    fn a_leading_zero_that_belongs_to_the_number_stays() {
        check("+225 07 12 34 56 78", Ok("+2250712345678"));
        check("+229 01 95 12 34 56", Ok("+2290195123456"));
        check("+242 06 123 4567", Ok("+242061234567"));
    }

    #[test]
    fn a_fixed_line_is_not_a_mobile_number() {
        check("+49 30 12345678", Err(InvalidMobileNumber::NotMobile));
        check("+39 02 36618300", Err(InvalidMobileNumber::NotMobile));
        check("+242 22 212 3456", Err(InvalidMobileNumber::NotMobile));
    }

    #[test]
    fn numbers_that_cost_more_than_a_message_are_refused() {
        for number in [
            "+49 900 1234567",   // premium rate
            "+43 900 123456",    // premium rate
            "+41 900 123456",    // premium rate
            "+44 909 8790123",   // premium rate
            "+33 8 91 12 34 56", // premium rate
            "+1 900 234 5678",   // premium rate
            "+49 180 5012345",   // shared cost
            "+41 840 123456",    // shared cost
            "+44 843 4012345",   // shared cost
        ] {
            check(number, Err(InvalidMobileNumber::NotMobile));
        }
    }

    #[test]
    fn numbers_that_prove_no_possession_of_a_phone_are_refused() {
        check("+44 70 0012 3456", Err(InvalidMobileNumber::NotMobile)); // personal, forwards anywhere
        check("+33 9 39 01 23 45", Err(InvalidMobileNumber::NotMobile)); // voice over IP
        check("+49 164 12345", Err(InvalidMobileNumber::NotMobile)); // pager
        check("+800 1234 5678", Err(InvalidMobileNumber::NotMobile)); // toll-free
    }

    #[test]
    fn a_number_without_country_code_is_refused() {
        for text in ["015123456789", "0049 151 23456789", "4915123456789", "", "   "] {
            check(text, Err(InvalidMobileNumber::NoCountryCode));
        }
    }

    #[test]
    fn letters_extensions_and_second_numbers_are_refused() {
        for text in ["+49151CALLME", "+4915123456789;ext=1", "+4915123456789,1", "++4915123456789", "+٤٩١٥١٢٣٤٥٦٧٨٩"]
        {
            check(text, Err(InvalidMobileNumber::UnexpectedCharacter));
        }
    }

    #[test]
    fn a_number_that_no_network_has_is_refused() {
        for text in ["+", "+1", "+4915", "+999151234567", "+491512345678901234", "+0049151234567"] {
            check(text, Err(InvalidMobileNumber::NotANumber));
        }
    }

    #[test]
    fn input_beyond_the_bound_is_refused_unread() {
        check(&format!("+49151{}23456789", " ".repeat(64)), Err(InvalidMobileNumber::TooLong));
    }

    #[test]
    fn debug_and_display_show_a_mask() {
        let number = MobileNumber::parse("+4915123456701").unwrap();
        assert_eq!(number.to_string(), "+49*******01");
        assert_eq!(format!("{number:?}"), "+49*******01");
    }

    #[test]
    fn the_mask_does_not_give_away_a_short_number() {
        assert_eq!(MobileNumber::from_stored("+49151".to_owned()).to_string(), "*******");
    }

    proptest! {
        #[test]
        fn reading_any_text_never_panics(text in any::<String>()) {
            let _ = MobileNumber::parse(&text);
        }

        #[test]
        fn what_is_accepted_is_e164_and_reads_back_as_itself(text in "\\+[1-9][0-9]{1,17}") {
            if let Ok(number) = MobileNumber::parse(&text) {
                let e164 = number.as_e164();
                prop_assert!(e164.len() <= 16 && e164[1..].bytes().all(|b| b.is_ascii_digit()));
                let again = MobileNumber::parse(e164).unwrap();
                prop_assert_eq!(again.as_e164(), e164);
            }
        }
    }
}
