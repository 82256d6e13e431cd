//! National numbering plans, from Google's libphonenumber.
//!
//! The only module that uses the port `rlibphonenumber`. It reads a number exactly as written: no prefix or zero is
//! dropped or added, so the plan is applied to the digits that are stored. The library's `parse` does drop prefixes and
//! is only used to choose the error message. No I/O; the first call loads the plans.

use rlibphonenumber::{PHONE_NUMBER_UTIL as PLANS, PhoneNumber, PhoneNumberFormat, PhoneNumberType, Region};

/// Maximum of digits, country code included (E.164 section 6.1).
const DIGITS_MAX: usize = 15;

/// A number with a known country code.
pub(in crate::domain) struct Dialled(PhoneNumber);

/// The type of a number according to its plan.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::domain) enum Kind {
    /// Mobile, or of a plan that does not distinguish mobile from fixed lines (North America and a few others).
    Mobile,
    /// Fixed line, premium rate, pager, voice over IP, personal (forwarding) number.
    Other,
    /// Not in any plan.
    Unknown,
}

impl Dialled {
    /// Reads `+` and ASCII digits only; `None` for an unknown country code or an impossible length.
    pub(in crate::domain) fn read(e164: &str) -> Option<Self> {
        let digits = e164.strip_prefix('+')?;
        if digits.len() > DIGITS_MAX || !digits.bytes().all(|b| b.is_ascii_digit()) || digits.starts_with('0') {
            return None;
        }
        // No country code is a prefix of another, and none has more than three digits (E.164 section 6.2.1).
        let (country_code, national) = (1..=3).find_map(|length| {
            let (code, national) = digits.split_at_checked(length)?;
            let code = code.parse().ok()?;
            PLANS.get_region_for_country_code(code).map(|_| (code, national))
        })?;
        // The library stores leading zeros separately from the value. The last digit is always part of the value.
        let zeros = national.bytes().take(national.len().saturating_sub(1)).take_while(|b| *b == b'0').count();
        Some(Self(PhoneNumber {
            country_code,
            national_number: national.parse().ok()?,
            italian_leading_zero: (zeros > 0).then_some(true),
            number_of_leading_zeros: i32::try_from(zeros).ok().filter(|zeros| *zeros > 0),
            ..PhoneNumber::default()
        }))
    }

    pub(in crate::domain) fn kind(&self) -> Kind {
        match PLANS.get_number_type(&self.0) {
            PhoneNumberType::Mobile | PhoneNumberType::FixedLineOrMobile => Kind::Mobile,
            PhoneNumberType::Unknown => Kind::Unknown,
            PhoneNumberType::FixedLine
            | PhoneNumberType::TollFree
            | PhoneNumberType::PremiumRate
            | PhoneNumberType::SharedCost
            | PhoneNumberType::VoIP
            | PhoneNumberType::PersonalNumber
            | PhoneNumberType::Pager
            | PhoneNumberType::UAN
            | PhoneNumberType::VoiceMail => Kind::Other,
        }
    }

    /// The ISO 3166-1 alpha-2 code of the country; `None` for a network without one. A number that the current plan
    /// does not assign to a country counts for the main country of its country code.
    pub(in crate::domain) fn country(&self) -> Option<[u8; 2]> {
        let own = PLANS.get_region_for_number(&self.0);
        let region = own.or_else(|| PLANS.get_region_for_country_code(self.0.country_code))?;
        // Networks without a country have the region "001", the only one of three characters.
        region.as_region_str().as_bytes().try_into().ok()
    }
}

/// Whether this is the code of a country with a numbering plan.
pub(in crate::domain) fn is_country(code: &str) -> bool {
    Region::from_code(code).is_ok_and(|region| PLANS.get_country_code_for_region(region).is_some())
}

/// Whether this is a mobile number with an extra national (trunk) prefix: the zero of `+43 0664 ...`.
pub(in crate::domain) fn has_national_prefix(e164: &str) -> bool {
    PLANS.parse(e164, None).is_ok_and(|number| {
        let meant = PLANS.format(&number, PhoneNumberFormat::E164);
        meant != e164 && Dialled::read(&meant).is_some_and(|meant| meant.kind() == Kind::Mobile)
    })
}
