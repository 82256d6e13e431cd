//! Settings of SMS: limits, countries, and the conversion window.

use chrono::TimeDelta;
use device_management::domain::numbers::country::{Countries, Country};
use device_management::domain::sms::enforcement::Enforcement;

use super::production::{PRODUCTION, assert_refused, production_but};
use super::{load, problems};

#[test]
fn sms_limits_are_enforced_in_production_and_off_in_the_sandbox() {
    assert_eq!(load(&[]).unwrap().policy.sms_enforcement, Enforcement::Off);
    assert_eq!(load(&PRODUCTION).unwrap().policy.sms_enforcement, Enforcement::Enforce);
    assert_refused(&[("SMS_LIMITS", "off")], &["SMS_LIMITS must not be off in production"]);
    let watched = load(&production_but(&[("SMS_LIMITS", "dry-run")])).unwrap();
    assert_eq!(watched.policy.sms_enforcement, Enforcement::DryRun);
}

#[test]
fn the_default_countries_are_the_eea_the_uk_and_switzerland() {
    let Countries::Only(countries) = load(&[]).unwrap().policy.sms_countries else { panic!("a list") };
    assert_eq!(countries.len(), 32, "27 of the European Union, IS, LI, NO, GB and CH");
    for (code, is_served) in [("DE", true), ("GB", true), ("CH", true), ("NO", true), ("JE", false), ("US", false)] {
        assert_eq!(countries.contains(&Country::parse(code).unwrap()), is_served, "{code}");
    }
}

#[test]
fn countries_are_a_list_of_codes_or_any() {
    let countries = |text| load(&[("SMS_COUNTRIES", text)]).map(|config| config.policy.sms_countries);
    assert_eq!(countries("any").unwrap(), Countries::Any);
    let expected = ["AT", "ZZ"].into_iter().filter_map(Country::parse).collect();
    assert_eq!(countries("ZZ, AT").unwrap(), Countries::Only(expected));
    for (text, word) in [("DE,", ""), ("de", "de"), ("DE AT", "DE AT"), ("DE,any", "any"), ("49", "49")] {
        let expected = format!("SMS_COUNTRIES must be any, or ISO 3166 codes like DE,AT: {word:?} is none");
        assert_eq!(problems(&[("SMS_COUNTRIES", text)], ""), [expected]);
    }
}

#[test]
fn the_conversion_window_is_rounded_down_to_minutes() {
    let window = |text| load(&[("SMS_CONVERSION_WINDOW_SECONDS", text)]).unwrap().policy.sms_conversion.window;
    assert_eq!([window("60"), window("119")], [TimeDelta::minutes(1); 2]);
}
