//! The settings that limit SMS: countries, limits and conversion.

use chrono::TimeDelta;

use super::parse::{from_words, seconds, whole};
use super::source::Source;
use super::{Mode, delta};
use crate::domain::numbers::country::{Countries, Country};
use crate::domain::sms::conversion::ConversionRule;
use crate::domain::sms::enforcement::Enforcement;

/// The European Economic Area, the United Kingdom and Switzerland.
///
/// Left out deliberately: Guernsey, Jersey and the Isle of Man (GG, JE, IM), which belong to neither, and whose +44
/// numbers are known from SMS pumping because they look British; French overseas departments (GP, GF, MQ, RE, YT),
/// which are in the European Union, but have their own calling codes and prices. AX, SJ and VA are not needed: the
/// mobile numbers of Åland, Svalbard and the Vatican are those of FI, NO and IT.
pub(super) const DEFAULT_COUNTRIES: &str =
    "AT,BE,BG,CH,CY,CZ,DE,DK,EE,ES,FI,FR,GB,GR,HR,HU,IE,IS,IT,LI,LT,LU,LV,MT,NL,NO,PL,PT,RO,SE,SI,SK";

pub(super) fn enforcement(s: &mut Source<'_>, mode: Mode) -> Enforcement {
    let default = if mode == Mode::Sandbox { Enforcement::Off } else { Enforcement::Enforce };
    let words = from_words(Enforcement::parse, "enforce, dry-run or off");
    let enforcement = s.value("SMS_LIMITS", default.as_str(), words);
    if enforcement == Enforcement::Off && mode == Mode::Production {
        s.problem("SMS_LIMITS", "must not be off in production: without limits the service is open to SMS pumping");
    }
    enforcement
}

pub(super) fn countries(text: &str) -> Result<Countries, String> {
    if text == "any" {
        return Ok(Countries::Any);
    }
    let country = |word: &str| {
        let word = word.trim();
        Country::parse(word).ok_or_else(|| format!("must be any, or ISO 3166 codes like DE,AT: {word:?} is none"))
    };
    text.split(',').map(country).collect::<Result<_, _>>().map(Countries::Only)
}

pub(super) fn conversion(s: &mut Source<'_>) -> ConversionRule {
    ConversionRule {
        window: whole_minutes(delta(s.value("SMS_CONVERSION_WINDOW_SECONDS", "3600", seconds(60..=86_400)))),
        min_sent: s.value("SMS_CONVERSION_MIN_SENT", "100", whole(1..=1_000_000)),
        min_percent: s.value("SMS_CONVERSION_MIN_PERCENT", "10", whole(0..=100)),
    }
}

/// Conversion is counted per minute.
fn whole_minutes(window: TimeDelta) -> TimeDelta {
    TimeDelta::minutes(window.num_minutes())
}
