//! A phone number that can receive an SMS.
//!
//! Which numbers exist, and which of them are mobile, is the knowledge of `numbering_plan`. This module decides what people
//! may type around the digits and asks it about nothing but `+` and digits. What is stored is what was typed, without the
//! separators: a number is refused rather than mended. A number is personal: `Debug` and `Display` show a mask, and
//! [`MobileNumber::as_e164`] is the one way to the digits.

pub mod country;
mod numbering_plan;

use std::fmt;

use crate::domain::numbers::country::Country;
use crate::domain::numbers::numbering_plan::{Dialled, Kind, has_national_prefix};

/// Longer input is refused unread. The longest number has 15 digits; the rest is room for what people put between them.
const INPUT_MAX: usize = 64;

/// What may stand between the digits (`openapi.yaml`, `MobileNumberText`).
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
    /// The text does not start with `+`, so its country is unknown.
    #[error("must start with + and a country code")]
    NoCountryCode,
    /// The text holds something else than ASCII digits and separators: letters, an extension, digits or blanks of other
    /// scripts.
    #[error("may contain only the digits 0 to 9, ASCII spaces and - _ / . ( ) after the +")]
    UnexpectedCharacter,
    /// The country code is followed by a prefix that is dialled only inside the country.
    #[error("must be the international form: leave out the prefix that is dialled only inside the country")]
    NationalPrefix,
    /// No network has this number.
    #[error("is not a valid phone number")]
    NotANumber,
    /// The number exists but cannot receive an SMS.
    #[error("is not a mobile number")]
    NotMobile,
}

impl MobileNumber {
    /// Reads a number as people write it, country code included: `+49 151 23456789` is `+4915123456789`.
    ///
    /// The national number counts as a whole, leading zeros included (`openapi.yaml`, `MobileNumberText`): in Italy they tell a fixed line
    /// from a mobile number, in Ivory Coast they belong to one, and in `+49 (0)151 ...` they make it none.
    ///
    /// # Errors
    ///
    /// When no mobile network has such a number.
    pub fn parse(text: &str) -> Result<Self, InvalidMobileNumber> {
        if text.len() > INPUT_MAX {
            return Err(InvalidMobileNumber::TooLong);
        }
        let e164 = text.replace(SEPARATORS, "");
        let digits = e164.strip_prefix('+').ok_or(InvalidMobileNumber::NoCountryCode)?;
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(InvalidMobileNumber::UnexpectedCharacter);
        }
        match Dialled::read(&e164).map_or(Kind::Unknown, |number| number.kind()) {
            Kind::Mobile => Ok(Self(e164)),
            Kind::Other => Err(InvalidMobileNumber::NotMobile),
            Kind::Unknown if has_national_prefix(&e164) => Err(InvalidMobileNumber::NationalPrefix),
            Kind::Unknown => Err(InvalidMobileNumber::NotANumber),
        }
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
    fn an_italian_fixed_line_is_not_a_mobile_number_that_begins_after_its_zero() {
        check("+39 0331 123456", Err(InvalidMobileNumber::NotMobile));
        check("+39 035 1234567", Err(InvalidMobileNumber::NotMobile));
        check("+39 331 123456", Ok("+39331123456"));
    }

    #[test]
    fn a_number_with_digits_too_many_or_too_few_is_refused() {
        for text in ["+31 6 12345678 90", "+31 6 1234567", "+354 611 123456", "+423 730 123456", "+45 20 12 34 5"] {
            check(text, Err(InvalidMobileNumber::NotANumber));
        }
        check("+31 6 12345678", Ok("+31612345678"));
        check("+354 611 1234", Ok("+3546111234"));
    }

    #[test]
    fn a_prefix_that_is_dialled_only_inside_the_country_is_refused() {
        for text in [
            "+43 006641234567",
            "+43 0664 1234567",
            "+49 (0)151 23456789",
            "+44 07400 123456",
            "+36 06 20 123 4567",
            "+7 8 912 345 67 89",
            "+1 1 650 253 0000",
        ] {
            let refusal = MobileNumber::parse(text).unwrap_err();
            let refusals = [InvalidMobileNumber::NationalPrefix, InvalidMobileNumber::NotANumber];
            assert!(refusals.contains(&refusal), "{text}: {refusal}");
        }
        check("+43 0664 1234567", Err(InvalidMobileNumber::NationalPrefix));
        check("+49 (0)151 23456789", Err(InvalidMobileNumber::NationalPrefix));
    }

    #[test]
    fn new_ranges_of_a_plan_are_accepted() {
        check("+46 78 123 45 67", Ok("+46781234567"));
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
        for text in
            ["015123456789", "0049 151 23456789", "4915123456789", "tel:+4915123456789", "＋4915123456789", "", "   "]
        {
            check(text, Err(InvalidMobileNumber::NoCountryCode));
        }
    }

    #[test]
    fn letters_extensions_and_second_numbers_are_refused() {
        for text in [
            "+49151CALLME",
            "+4915123456789;ext=1",
            "+4915123456789x12",
            "+4915123456789 ext. 12",
            "+4915123456789,1",
            "+4915123456789#12",
            "++4915123456789",
            "+49+15123456789",
            "+49 151\t23456789",
        ] {
            check(text, Err(InvalidMobileNumber::UnexpectedCharacter));
        }
    }

    #[test]
    fn digits_and_separators_of_other_scripts_are_refused() {
        for text in [
            "+٤٩١٥١٢٣٤٥٦٧٨٩",                 // Arabic digits
            "+４９15123456789",               // full-width digits
            "+49\u{a0}151\u{a0}23456789",     // no-break spaces
            "+49\u{2011}151\u{2011}23456789", // no-break hyphens
            "+49 151\u{2013}23456789",        // en dash
            "\u{202a}+4915123456789\u{202c}", // directional marks, as address books copy them
            "+49151\u{200b}23456789",         // zero-width space
        ] {
            let refusal = MobileNumber::parse(text).unwrap_err();
            let refusals = [InvalidMobileNumber::UnexpectedCharacter, InvalidMobileNumber::NoCountryCode];
            assert!(refusals.contains(&refusal), "{text:?}: {refusal}");
        }
    }

    #[test]
    fn a_zero_does_not_stand_before_the_country_code() {
        for text in ["+0049151234567", "+04915123456789", "+0", "+00"] {
            check(text, Err(InvalidMobileNumber::NotANumber));
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
