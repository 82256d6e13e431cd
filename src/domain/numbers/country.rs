//! The country of a number, and the countries to which the service sends SMS.
//!
//! `numbering_plan` determines the country: a country code is not enough, since +44 is also Jersey, +1 half of the
//! Caribbean and +7 Kazakhstan. Where two countries share one mobile range, the plans name the larger one: Finland for
//! Åland, Norway for Svalbard, Italy for the Vatican.

use std::collections::BTreeSet;
use std::fmt;

use crate::domain::numbers::MobileNumber;
use crate::domain::numbers::numbering_plan::{Dialled, is_country};

/// A country by its ISO 3166-1 alpha-2 code, or [`Country::NONE`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

impl Country {
    /// Satellite and other networks without a country, and stored numbers that are no longer in any plan. ISO 3166
    /// reserves this code for private use.
    pub const NONE: Self = Self(*b"ZZ");

    /// Reads the upper-case code of a country with a numbering plan; `None` for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let code: [u8; 2] = text.as_bytes().try_into().ok()?;
        let is_known = code == Self::NONE.0 || (code.iter().all(u8::is_ascii_uppercase) && is_country(text));
        is_known.then_some(Self(code))
    }

    /// The two letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a code is two ASCII letters")
    }

    /// The country of a number in E.164 form.
    pub(in crate::domain) fn of_e164(e164: &str) -> Self {
        Dialled::read(e164).and_then(|number| number.country()).map_or(Self::NONE, Self)
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The countries to which codes are sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Countries {
    /// All countries, and networks without a country.
    Any,
    /// Only these.
    Only(BTreeSet<Country>),
}

/// The number belongs to a country to which no SMS are sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CountryNotServed {
    /// This country.
    #[error("is of the country {0}, to which no SMS are sent")]
    Country(Country),
    /// A network without a country.
    #[error("is of a network that belongs to no country, and to which no SMS are sent")]
    None,
}

impl Countries {
    /// Whether codes may be sent to this number.
    ///
    /// # Errors
    /// When its country is not one of these.
    pub fn admit(&self, number: &MobileNumber) -> Result<(), CountryNotServed> {
        let Self::Only(countries) = self else { return Ok(()) };
        match number.country() {
            country if countries.contains(&country) => Ok(()),
            Country::NONE => Err(CountryNotServed::None),
            country => Err(CountryNotServed::Country(country)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn country_of(number: &str) -> String {
        MobileNumber::parse(number).unwrap_or_else(|error| panic!("{number} {error}")).country().to_string()
    }

    #[test]
    fn countries_that_share_a_country_code_are_distinguished() {
        for (number, country) in [
            ("+447400123456", "GB"),
            ("+447781123456", "GG"),
            ("+447797712345", "JE"),
            ("+447624123456", "IM"),
            ("+16502530000", "US"),
            ("+16137827274", "CA"),
            ("+18762101234", "JM"),
            ("+18092345678", "DO"),
            ("+79123456789", "RU"),
            ("+77710009998", "KZ"),
            ("+590690001234", "GP"),
            ("+262692123456", "RE"),
            ("+262639012345", "YT"),
            ("+393123456789", "IT"),
            ("+4740612345", "NO"),
            ("+358412345678", "FI"),
        ] {
            assert_eq!(country_of(number), country, "{number}");
        }
    }

    #[test]
    fn a_country_code_of_a_single_country_determines_the_country() {
        for (number, country) in [("+4915123456789", "DE"), ("+423660234567", "LI"), ("+38344123456", "XK")] {
            assert_eq!(country_of(number), country, "{number}");
        }
    }

    #[test]
    fn a_number_with_a_significant_leading_zero_has_a_country() {
        assert_eq!(country_of("+2250712345678"), "CI");
    }

    #[test]
    fn satellite_networks_have_no_country() {
        assert_eq!(country_of("+881612345678"), "ZZ");
    }

    #[test]
    fn a_stored_number_outside_every_plan_has_the_main_country_of_its_country_code() {
        let country = |e164: &str| MobileNumber::from_stored(e164.to_owned()).country().to_string();
        assert_eq!(country("+440000000000"), "GB");
        assert_eq!(country("+490"), "DE");
        assert_eq!([country("+999123456"), country("+"), country(""), country("+é")], ["ZZ"; 4]);
    }

    #[test]
    fn only_codes_with_a_numbering_plan_are_countries() {
        for text in ["", "D", "de", "DEU", "QQ", "49", "001", "é"] {
            assert_eq!(Country::parse(text), None, "{text:?}");
        }
        assert_eq!(Country::parse("ZZ"), Some(Country::NONE));
    }

    #[test]
    fn numbers_of_other_countries_are_not_admitted() {
        let countries = Countries::Only(["DE", "CH"].into_iter().filter_map(Country::parse).collect());
        let admit = |number: &str| countries.admit(&MobileNumber::parse(number).unwrap());
        assert_eq!(admit("+4915123456789"), Ok(()));
        assert_eq!(admit("+447400123456"), Err(CountryNotServed::Country(Country(*b"GB"))));
        assert_eq!(admit("+881612345678"), Err(CountryNotServed::None));
        assert_eq!(Countries::Any.admit(&MobileNumber::parse("+881612345678").unwrap()), Ok(()));
    }
}
