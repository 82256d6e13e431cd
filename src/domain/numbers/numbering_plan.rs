//! The numbering plans of the world, as Google's libphonenumber describes them.
//!
//! The one place that names the port `rlibphonenumber`. A number is taken apart exactly as it is written: no prefix is
//! dropped, no zero, and nothing is added, so what a plan says is about the digits that are stored. The library's own
//! `parse` does drop prefixes and is only asked for the wording of a refusal. Pure; the first question loads the plans.

use rlibphonenumber::{PHONE_NUMBER_UTIL as PLANS, PhoneNumber, PhoneNumberFormat, PhoneNumberType, Region};

/// Digits of a number with its country code, E.164 section 6.1.
const DIGITS_MAX: usize = 15;

/// A number with its country code recognised.
pub(in crate::domain) struct Dialled(PhoneNumber);

/// What a number is according to its plan.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::domain) enum Kind {
    /// A mobile network's, or of a plan that does not tell mobile from fixed lines (North America and a few others).
    Mobile,
    /// Another kind: fixed line, premium rate, pager, voice over IP, a personal (forwarding) number.
    Other,
    /// No plan has this number.
    Unknown,
}

impl Dialled {
    /// Reads `+` and ASCII digits, and nothing else; `None` when no country code is recognised or the length is impossible.
    pub(in crate::domain) fn read(e164: &str) -> Option<Self> {
        let digits = e164.strip_prefix('+')?;
        if digits.len() > DIGITS_MAX || !digits.bytes().all(|b| b.is_ascii_digit()) || digits.starts_with('0') {
            return None;
        }
        // No country code begins another one, and none has more than three digits (E.164 section 6.2.1).
        let (country_code, national) = (1..=3).find_map(|length| {
            let (code, national) = digits.split_at_checked(length)?;
            let code = code.parse().ok()?;
            PLANS.get_region_for_country_code(code).map(|_| (code, national))
        })?;
        // The library keeps leading zeros apart from the value. The last digit is always part of the value.
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

    /// The ISO 3166-1 alpha-2 code of the country; `None` for a network that belongs to none. A number that a newer plan
    /// does not tell apart any more counts for the main country of its code.
    pub(in crate::domain) fn country(&self) -> Option<[u8; 2]> {
        let own = PLANS.get_region_for_number(&self.0);
        let region = own.or_else(|| PLANS.get_region_for_country_code(self.0.country_code))?;
        // Networks without a country are in the region "001", which is the only one with three characters.
        region.as_region_str().as_bytes().try_into().ok()
    }
}

/// Whether a country of this code has a numbering plan.
pub(in crate::domain) fn is_country(code: &str) -> bool {
    Region::from_code(code).is_ok_and(|region| PLANS.get_country_code_for_region(region).is_some())
}

/// Whether these are the digits of a mobile number with a prefix too many, one that is dialled only inside the country:
/// the zero of `+43 0664 ...`.
pub(in crate::domain) fn has_national_prefix(e164: &str) -> bool {
    PLANS.parse(e164, None).is_ok_and(|number| {
        let meant = PLANS.format(&number, PhoneNumberFormat::E164);
        meant != e164 && Dialled::read(&meant).is_some_and(|meant| meant.kind() == Kind::Mobile)
    })
}
