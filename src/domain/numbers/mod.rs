//! Mobile numbers in E.164 form.
//!
//! This module removes the separators that people type and passes `+` and digits to `numbering_plan`, which decides
//! whether a number exists and is mobile. An invalid number is refused, never corrected. A number is personal data:
//! `Debug` and `Display` are masked, and only [`MobileNumber::as_e164`] gives the digits.

pub mod country;
mod numbering_plan;

use std::fmt;

use crate::domain::numbers::country::Country;
use crate::domain::numbers::numbering_plan::{Dialled, Kind, has_national_prefix};

/// The longest input, in bytes. The longest number has 15 digits; the rest is for separators.
const INPUT_MAX: usize = 64;

/// Characters that are removed between the digits (`openapi.yaml`, `MobileNumberText`).
const SEPARATORS: [char; 7] = [' ', '-', '_', '/', '.', '(', ')'];

/// A valid mobile number in E.164 form, `+4915123456789`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct MobileNumber(String);

/// Why a text is not a mobile number, as an error message for the partner's developer. Never contains the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMobileNumber {
    /// The text is too long.
    #[error("must be at most {INPUT_MAX} characters long")]
    TooLong,
    /// The text does not start with `+`, so its country is unknown.
    #[error("must start with + and a country code")]
    NoCountryCode,
    /// The text contains other characters than ASCII digits and separators: letters, an extension, digits or spaces of
    /// other scripts.
    #[error("may contain only the digits 0 to 9, ASCII spaces and - _ / . ( ) after the +")]
    UnexpectedCharacter,
    /// The country code is followed by a national (trunk) prefix.
    #[error("must be the international form: leave out the prefix that is dialled only inside the country")]
    NationalPrefix,
    /// The number is not in any numbering plan.
    #[error("is not a valid phone number")]
    NotANumber,
    /// The number is in a plan, but is not mobile.
    #[error("is not a mobile number")]
    NotMobile,
}

impl MobileNumber {
    /// Reads a number with its country code and separators: `+49 151 23456789` is `+4915123456789`.
    ///
    /// Leading zeros of the national number are significant (`openapi.yaml`, `MobileNumberText`): in Italy they
    /// distinguish fixed lines from mobile numbers, in Ivory Coast they are part of a mobile number, and `+49 (0)151
    /// ...` is invalid.
    ///
    /// # Errors
    ///
    /// When the text is not a mobile number.
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

    /// Restores a stored number without validation: numbering plans change, and a number that was valid when it was
    /// stored must stay readable.
    #[must_use]
    pub fn from_stored(e164: String) -> Self {
        Self(e164)
    }

    /// The unmasked number, for the SMS provider, the database and its partner. Must not be logged.
    #[must_use]
    pub fn as_e164(&self) -> &str {
        &self.0
    }

    /// The country of its network.
    #[must_use]
    pub fn country(&self) -> Country {
        Country::of_e164(&self.0)
    }
}

/// `+49*******01`: enough for a person to recognise their number. The count of stars is fixed, so the length is hidden.
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
    fn separators_between_the_digits_are_removed() {
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
    fn numbers_of_plans_that_do_not_distinguish_mobile_from_fixed_are_accepted() {
        check("+1 650-253-0000", Ok("+16502530000"));
        check("+1 613 782 7274", Ok("+16137827274"));
    }

    #[test]
    fn a_significant_leading_zero_is_kept() {
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
    fn the_leading_zero_of_an_italian_fixed_line_is_not_dropped() {
        check("+39 0331 123456", Err(InvalidMobileNumber::NotMobile));
        check("+39 035 1234567", Err(InvalidMobileNumber::NotMobile));
        check("+39 331 123456", Ok("+39331123456"));
    }

    #[test]
    fn a_number_with_too_many_or_too_few_digits_is_refused() {
        for text in ["+31 6 12345678 90", "+31 6 1234567", "+354 611 123456", "+423 730 123456", "+45 20 12 34 5"] {
            check(text, Err(InvalidMobileNumber::NotANumber));
        }
        check("+31 6 12345678", Ok("+31612345678"));
        check("+354 611 1234", Ok("+3546111234"));
    }

    #[test]
    fn a_national_prefix_is_refused() {
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
    fn recently_assigned_ranges_are_accepted() {
        check("+46 78 123 45 67", Ok("+46781234567"));
    }

    #[test]
    fn premium_rate_and_shared_cost_numbers_are_refused() {
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
    fn numbers_that_do_not_prove_possession_of_a_phone_are_refused() {
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
    fn a_zero_before_the_country_code_is_refused() {
        for text in ["+0049151234567", "+04915123456789", "+0", "+00"] {
            check(text, Err(InvalidMobileNumber::NotANumber));
        }
    }

    #[test]
    fn a_number_outside_every_plan_is_refused() {
        for text in ["+", "+1", "+4915", "+999151234567", "+491512345678901234", "+0049151234567"] {
            check(text, Err(InvalidMobileNumber::NotANumber));
        }
    }

    #[test]
    fn input_over_the_length_limit_is_refused() {
        check(&format!("+49151{}23456789", " ".repeat(64)), Err(InvalidMobileNumber::TooLong));
    }

    #[test]
    fn debug_and_display_show_a_mask() {
        let number = MobileNumber::parse("+4915123456701").unwrap();
        assert_eq!(number.to_string(), "+49*******01");
        assert_eq!(format!("{number:?}"), "+49*******01");
    }

    #[test]
    fn the_mask_hides_a_short_number_completely() {
        assert_eq!(MobileNumber::from_stored("+49151".to_owned()).to_string(), "*******");
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in any::<String>()) {
            let _ = MobileNumber::parse(&text);
        }

        #[test]
        fn an_accepted_number_is_e164_and_round_trips(text in "\\+[1-9][0-9]{1,17}") {
            if let Ok(number) = MobileNumber::parse(&text) {
                let e164 = number.as_e164();
                prop_assert!(e164.len() <= 16 && e164[1..].bytes().all(|b| b.is_ascii_digit()));
                let again = MobileNumber::parse(e164).unwrap();
                prop_assert_eq!(again.as_e164(), e164);
            }
        }
    }
}
