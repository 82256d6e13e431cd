//! Amounts of money: decimal texts with exactly the digits of their currency (ISO 4217). No floating-point number is involved.

use std::fmt;
use std::str::FromStr;

use iso_currency::Currency;
use serde::{Deserialize, Serialize};

/// The most digits of an amount, those behind the point included.
const DIGITS_MAX: usize = 15;

/// An amount in a currency.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    value: AmountText,
    currency: Currency,
}

/// The decimal text of an amount, valid in a currency that stands elsewhere.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AmountText(String);

/// The text is no currency of ISO 4217 with amounts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("must be a currency code of ISO 4217")]
pub struct UnknownCurrency;

/// Why a text is no amount.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidAmount {
    /// Not a decimal text with the currency's digits.
    #[error("must be a decimal number with exactly {0} digits after the point, without sign or leading zeros")]
    Digits(usize),
    /// Not a whole number, in a currency without smaller units.
    #[error("must be a whole number without sign or leading zeros: the currency has no smaller units")]
    Whole,
    /// Too many digits.
    #[error("must have at most {DIGITS_MAX} digits")]
    TooLong,
    /// Nothing.
    #[error("must be more than zero")]
    Zero,
}

/// Reads a currency's code. Codes that stand for no money that is paid (precious metals, funds without units, tests) are
/// unknown.
pub fn currency(code: &str) -> Result<Currency, UnknownCurrency> {
    let known = Currency::from_str(code).map_err(|_| UnknownCurrency)?;
    (known.code() == code && digits_after_point(known).is_some()).then_some(known).ok_or(UnknownCurrency)
}

fn digits_after_point(currency: Currency) -> Option<usize> {
    currency.exponent().map(usize::from)
}

impl Amount {
    /// Checks a text against the digits of its currency.
    pub fn new(text: &str, currency: Currency) -> Result<Self, InvalidAmount> {
        Ok(Self { value: AmountText::parse(text, currency)?, currency })
    }

    /// The decimal text.
    #[must_use]
    pub fn value(&self) -> &AmountText {
        &self.value
    }

    /// The currency.
    #[must_use]
    pub fn currency(&self) -> Currency {
        self.currency
    }

    /// The currency's code.
    #[must_use]
    pub fn currency_code(&self) -> &'static str {
        self.currency.code()
    }
}

impl AmountText {
    /// Checks a text against the digits of a currency.
    pub fn parse(text: &str, currency: Currency) -> Result<Self, InvalidAmount> {
        let digits = digits_after_point(currency).unwrap_or_default();
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let is_number = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        let is_canonical = !whole.is_empty() && is_number(whole) && (whole == "0" || !whole.starts_with('0'));
        if !is_canonical || !is_number(fraction) || fraction.len() != digits || text.contains('.') != (digits > 0) {
            return Err(if digits == 0 { InvalidAmount::Whole } else { InvalidAmount::Digits(digits) });
        }
        if whole.len() + fraction.len() > DIGITS_MAX {
            return Err(InvalidAmount::TooLong);
        }
        let amount = Self(text.to_owned());
        if amount.minor_units() == 0 { Err(InvalidAmount::Zero) } else { Ok(amount) }
    }

    /// The amount in the smallest units of its currency. At most 15 digits, so a sum of a batch cannot overflow.
    #[must_use]
    pub fn minor_units(&self) -> u64 {
        self.0.bytes().filter(u8::is_ascii_digit).fold(0, |units, digit| units * 10 + u64::from(digit - b'0'))
    }
}

impl fmt::Display for AmountText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_amount_has_exactly_the_digits_of_its_currency() {
        let amount = |text, code| Amount::new(text, currency(code).unwrap()).map(|it| it.value().minor_units());
        assert_eq!(amount("12.50", "EUR"), Ok(1250));
        assert_eq!(amount("0.01", "EUR"), Ok(1));
        assert_eq!(amount("1250", "JPY"), Ok(1250));
        assert_eq!(amount("1.250", "KWD"), Ok(1250));
        assert_eq!(amount("9999999999999.99", "EUR"), Ok(999_999_999_999_999));
        assert_eq!(amount("10000000000000.00", "EUR"), Err(InvalidAmount::TooLong));
        for text in [
            "0.00", "0.0", "12.5", "12.500", "12", "012.50", "+1.00", "-1.00", "1,00", ".50", "1.", "", "1e2", " 1.00",
            "１.00",
        ] {
            let fault = if text == "0.00" { InvalidAmount::Zero } else { InvalidAmount::Digits(2) };
            assert_eq!(amount(text, "EUR"), Err(fault), "{text:?}");
        }
        for text in ["0", "1.0", "1.", "01", ""] {
            let fault = if text == "0" { InvalidAmount::Zero } else { InvalidAmount::Whole };
            assert_eq!(amount(text, "JPY"), Err(fault), "{text:?}");
        }
    }

    #[test]
    fn a_currency_is_named_by_its_code_alone() {
        for code in ["EUR", "JPY", "KWD", "CHF"] {
            assert_eq!(currency(code).unwrap().code(), code);
        }
        for code in ["", "eur", "Eur", "EURO", "€", "XXX", "XTS", "XAU", "ABC"] {
            assert_eq!(currency(code), Err(UnknownCurrency), "{code}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_both_an_amount_and_spelled_in_another_way(text in "[0-9.+,e-]{0,18}") {
            let euro = currency("EUR").unwrap();
            if let Ok(amount) = AmountText::parse(&text, euro) {
                let units = amount.minor_units();
                prop_assert_eq!(format!("{}.{:02}", units / 100, units % 100), text);
            }
        }
    }
}
