//! Parsers for the text of a setting. Each error states the expected form.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::Mode;
use crate::outbound::HttpUrl;
use crate::store::DatabaseUrl;

pub(super) fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "must be an address with a port, like 127.0.0.1:8080 or [::1]:8080")
}

pub(super) fn boolean(text: &str) -> Result<bool, &'static str> {
    text.parse().map_err(|_| "must be true or false")
}

/// A whole number within bounds.
pub(super) fn whole<T>(bounds: RangeInclusive<T>) -> impl Fn(&str) -> Result<T, String>
where
    T: FromStr + PartialOrd + Display,
{
    move |text| {
        // Digits only: Rust's parser also accepts a plus sign.
        let digits = Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let number = digits.and_then(|text| text.parse().ok()).filter(|number| bounds.contains(number));
        number.ok_or_else(|| format!("must be a whole number from {} to {}", bounds.start(), bounds.end()))
    }
}

/// Whole seconds within bounds.
pub(super) fn seconds(bounds: RangeInclusive<u64>) -> impl Fn(&str) -> Result<Duration, String> {
    let number = whole(bounds);
    move |text| number(text).map(Duration::from_secs)
}

/// Whole milliseconds within bounds.
pub(super) fn milliseconds(bounds: RangeInclusive<u64>) -> impl Fn(&str) -> Result<Duration, String> {
    let number = whole(bounds);
    move |text| number(text).map(Duration::from_millis)
}

/// One of a few words.
pub(super) fn from_words<T>(
    parse: impl Fn(&str) -> Option<T>,
    words: &'static str,
) -> impl Fn(&str) -> Result<T, String> {
    move |text| parse(text).ok_or_else(|| format!("must be {words}"))
}

pub(super) fn database_url(url: &SecretString) -> Result<DatabaseUrl, &'static str> {
    DatabaseUrl::parse(url.expose_secret())
}

/// The URL of another server; `https` in production.
pub(super) fn server(mode: Mode) -> impl Fn(&str) -> Result<HttpUrl, String> {
    move |text| {
        let url = HttpUrl::parse(text).map_err(|error| error.to_string())?;
        if mode == Mode::Production && !url.is_encrypted() {
            return Err("must begin with https:// in production".to_owned());
        }
        Ok(url)
    }
}

/// The same, as the original text: tokens and metadata documents are compared with it.
pub(super) fn web_address(mode: Mode) -> impl Fn(&str) -> Result<String, String> {
    let server = server(mode);
    move |text| server(text).map(|_| text.to_owned())
}

/// A name that another system assigned: printable ASCII, including spaces.
pub(super) fn visible(text: &str) -> Result<String, &'static str> {
    let fits = text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    fits.then(|| text.to_owned()).ok_or("may contain only visible ASCII characters")
}

pub(super) fn claim_name(text: &str) -> Result<String, &'static str> {
    let is_name = !text.is_empty() && text.len() <= 128 && text.bytes().all(|b| b.is_ascii_graphic());
    is_name.then(|| text.to_owned()).ok_or("must be the name of a claim")
}
