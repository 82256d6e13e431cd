//! Malformed values of every setting of the table in the code: white space around the value is trimmed, anything else is
//! refused under the name of the setting, and no error quotes a secret.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use device_management::config::{Config, Environment, Problem};

use super::{file_with, load, shown};

/// Valid values of secrets and of settings without a default.
const SAMPLES: [(&str, &str); 28] = [
    ("DATABASE_URL", "postgres://app:hunter2@localhost/devices"),
    ("OTP_SECRET", "hunter2-hunter2-hunter2-hunter2-1"),
    ("OTP_SECRET_PREVIOUS", "hunter2-hunter2-hunter2-hunter2-2"),
    ("TOKEN_SECRET", "hunter2-hunter2-hunter2-hunter2-3"),
    ("TOKEN_SECRET_PREVIOUS", "hunter2-hunter2-hunter2-hunter2-4"),
    ("SMS_WEBHOOK_URL", "https://sms.example/hunter2"),
    ("SMS_WEBHOOK_TOKEN", "hunter2-webhook"),
    ("SMS_WEBHOOK_HMAC_SECRET", "hunter2-hmac"),
    ("TWILIO_AUTH_TOKEN", "hunter2-twilio"),
    ("SEON_API_KEY", "hunter2-seon"),
    ("EXTERNAL_ISSUER", "https://login.example"),
    ("EXTERNAL_AUDIENCE", "us"),
    ("EXTERNAL_JWKS_URL", "https://login.example/keys"),
    ("SMS_IOS_DOMAIN", "bank.example"),
    ("TWILIO_ACCOUNT_SID", "AC1"),
    ("TWILIO_FROM", "Bank"),
    ("TWILIO_MESSAGING_SERVICE_SID", "MG1"),
    ("SMS_SENDER_NAME", "Bank"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector.example:4318"),
    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://collector.example:4318/v1/traces"),
    ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=hunter2-collector"),
    ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "api-key=hunter2-collector"),
    ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"),
    ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "10000"),
    ("OTEL_SERVICE_NAME", "phones"),
    ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test"),
    ("OTEL_TRACES_SAMPLER_ARG", "0.5"),
    ("TRACEPARENT_TO", "webhook"),
];

/// Every setting with a valid value.
fn settings() -> Vec<(&'static str, String)> {
    let config = load(&[]).unwrap();
    let good = |name: &str, default: Option<String>| {
        let sample = SAMPLES.iter().find(|(sample, _)| *sample == name).map(|(_, value)| (*value).to_owned());
        sample.or(default).unwrap_or_else(|| panic!("{name} needs a sample"))
    };
    let all: Vec<_> = config.shown.into_iter().map(|shown| (shown.name, good(shown.name, shown.value))).collect();
    assert!(all.len() > 60 && SAMPLES.iter().all(|(sample, _)| all.iter().any(|(name, _)| name == sample)));
    all
}

fn is_number(value: &str) -> bool {
    value.bytes().all(|byte| byte.is_ascii_digit())
}

/// The problems of a setting; an invalid value of OpenTelemetry's variables is a problem or a warning.
fn complaints(name: &str, loaded: Result<Config, Vec<Problem>>) -> Vec<Problem> {
    match loaded {
        Ok(config) if name.starts_with("OTEL_") => config.warnings,
        Ok(_) => panic!("{name} must be refused"),
        Err(problems) => problems,
    }
}

/// Loads one setting, together with those that it requires.
fn with(name: &str, value: OsString) -> Result<Config, Vec<Problem>> {
    let mut variables: Vec<(OsString, OsString)> = vec![(name.into(), value)];
    if name == "EXTERNAL_ISSUER" {
        variables.push(("EXTERNAL_AUDIENCE".into(), "us".into()));
    }
    Config::load(&variables.into_iter().collect(), None)
}

#[track_caller]
fn assert_refused(name: &str, value: impl Into<OsString>) {
    let value = value.into();
    let shown = value.to_string_lossy().escape_debug().to_string();
    let problems = complaints(name, with(name, value));
    assert!(problems.iter().any(|problem| problem.setting == name), "{name}={shown}: {problems:?}");
    assert_no_secret(&format!("{problems:?}"));
}

#[track_caller]
fn assert_no_secret(text: &str) {
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn white_space_around_a_value_is_trimmed() {
    for (name, value) in settings() {
        let clean = with(name, value.clone().into()).unwrap_or_else(|problems| panic!("{name}={value}: {problems:?}"));
        for (before, after) in
            [(" ", ""), ("", " "), ("\t", "\t"), ("", "\n"), ("", "\r\n"), ("\r\n", "\r\n"), ("\u{a0}", "\u{3000}")]
        {
            let config = with(name, format!("{before}{value}{after}").into());
            let config = config.unwrap_or_else(|problems| panic!("{name}={before:?}...{after:?}: {problems:?}"));
            assert_eq!(shown(&config, name), shown(&clean, name));
            assert_eq!(format!("{config:?}"), format!("{clean:?}"), "{name}");
            assert_no_secret(&format!("{config:?}"));
        }
    }
}

#[test]
fn control_characters_quotes_and_invalid_utf8_are_refused() {
    for (name, value) in settings() {
        let head = &value[..1];
        for dirt in ["\0", "\n", "\r", "\t", "\u{1b}", "\u{feff}", "\u{200b}", "\u{202e}", "\u{7f}"] {
            assert_refused(name, format!("{head}{dirt}{value}"));
        }
        for dirt in ["\0", "\u{feff}", "\u{200b}", "\u{c}"] {
            assert_refused(name, format!("{dirt}{value}"));
            assert_refused(name, format!("{value}{dirt}"));
        }
        for quote in ['"', '\''] {
            assert_refused(name, format!("{quote}{value}{quote}"));
        }
        for bytes in [&b"\xff"[..], b"\xc3", b"\xed\xa0\x80"] {
            assert_refused(name, OsString::from_vec([value.as_bytes(), bytes].concat()));
            assert_refused(name, OsString::from_vec(bytes.to_vec()));
        }
    }
}

#[test]
fn a_number_has_ascii_digits_only() {
    let mut numbers = 0;
    for (name, value) in settings().into_iter().filter(|(_, value)| is_number(value)) {
        numbers += 1;
        let wide: String = value.chars().map(|digit| char::from_u32(0xff10 + digit as u32 - 48).unwrap()).collect();
        let arabic: String = value.chars().map(|digit| char::from_u32(0x660 + digit as u32 - 48).unwrap()).collect();
        for wrong in [
            &*format!("+{value}"),
            &format!("-{value}"),
            &format!("{value}.0"),
            &format!("{value},0"),
            &format!("{value} 1"),
            &format!("0x{value}"),
            &format!("{value}s"),
            &wide,
            &arabic,
            "1e3",
            "1_000",
            "99999999999999999999999999",
            "18446744073709551616",
            "-0",
            "NaN",
        ] {
            assert_refused(name, wrong);
        }
    }
    assert!(numbers > 30, "{numbers}");
}

#[test]
fn keywords_are_case_sensitive() {
    for (name, value) in settings() {
        let is_word = (["true", "false"].contains(&&*value) && name != "OTEL_SDK_DISABLED")
            || ["MODE", "SMS_LIMITS", "SEON_POLICY", "SQLITE_SYNCHRONOUS"].contains(&name);
        if is_word {
            for wrong in
                [value.to_uppercase(), format!("{value}."), "yes".to_owned(), "1".to_owned(), "ｔｒｕｅ".to_owned()]
            {
                assert_refused(name, wrong);
            }
        }
    }
}

#[test]
fn identifiers_of_other_systems_are_ascii() {
    for name in [
        "EXTERNAL_AUDIENCE",
        "TWILIO_ACCOUNT_SID",
        "TWILIO_FROM",
        "TWILIO_MESSAGING_SERVICE_SID",
        "EXTERNAL_PARTNER_CLAIM",
    ] {
        for wrong in ["ＡＣ１", "b\u{e4}nk", "\u{660}"] {
            assert_refused(name, wrong);
        }
    }
}

#[test]
fn values_in_the_file_follow_the_same_rules() {
    for (name, value) in settings() {
        let key = name.to_ascii_lowercase();
        let in_file = |text: &str| {
            let toml = format!("external_audience = \"us\"\n{key} = {}", serde_json::Value::from(text));
            let toml = if name == "EXTERNAL_AUDIENCE" { toml.split_once('\n').unwrap().1.to_owned() } else { toml };
            Config::load(&Environment::default(), Some(file_with(&toml).path()))
        };
        let config = in_file(&format!(" {value}\r\n")).unwrap_or_else(|problems| panic!("{name}: {problems:?}"));
        assert_eq!(shown(&config, name).value, shown(&in_file(&value).unwrap(), name).value);
        let problems = complaints(name, in_file(&format!("\u{feff}{value}")));
        assert!(problems.iter().any(|problem| problem.setting == name), "{problems:?}");
        assert_no_secret(&format!("{problems:?}"));
        // An empty value counts as unset, as in the environment.
        if name != "EXTERNAL_AUDIENCE" {
            assert_eq!(shown(&in_file(" ").unwrap(), name), shown(&load(&[]).unwrap(), name), "{name}");
        }
    }
}

#[test]
fn secret_files_follow_the_same_rules() {
    for (name, value) in settings().into_iter().filter(|(_, value)| value.contains("hunter2")) {
        let in_file = |bytes: &[u8]| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), bytes).unwrap();
            with(&format!("{name}_FILE"), file.path().into())
        };
        let config =
            in_file(format!(" {value}\r\n\n").as_bytes()).unwrap_or_else(|problems| panic!("{name}: {problems:?}"));
        let clean = in_file(value.as_bytes()).unwrap();
        if name != "DATABASE_URL" {
            // The two files have different names.
            let settings = |config: Config| format!("{:?}", Config { secret_files: Vec::new(), ..config });
            assert_eq!(settings(config), settings(clean));
        }
        let split = value.replace("hunter2", "hun\nter2");
        for dirty in [&b"\xff\xfeh"[..], b" \n", b"", split.as_bytes(), format!("\u{feff}{value}").as_bytes()] {
            let problems = complaints(name, in_file(dirty));
            assert!(problems.iter().any(|problem| problem.setting == name), "{problems:?}");
            assert_no_secret(&format!("{problems:?}"));
        }
    }
}

#[test]
fn the_error_for_a_file_that_is_not_utf8_names_the_line_only() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), b"http_addr = \"127.0.0.1:1\"\notp_secret = \"hunter2\xff\"\n").unwrap();
    let problems = Config::load(&Environment::default(), Some(file.path())).unwrap_err();
    assert!(matches!(&problems[..], [one] if one.message.ends_with("line 2 is not UTF-8 text")), "{problems:?}");
    assert_no_secret(&format!("{problems:?}"));
}

#[test]
fn the_name_of_the_file_follows_the_same_rules() {
    let file = file_with("sms_language = \"en\"");
    let named = |value: OsString| Config::load(&[("CONFIG_FILE", value)].into_iter().collect(), None);
    let config = named(format!("{}\n", file.path().display()).into()).unwrap();
    assert_eq!(shown(&config, "SMS_LANGUAGE").value.as_deref(), Some("en"));
    assert!(named("".into()).is_ok());
    let problems = named(OsString::from_vec(b"/etc/\xff".to_vec())).unwrap_err();
    assert!(matches!(&problems[..], [one] if one.setting == "CONFIG_FILE"), "{problems:?}");
}

#[test]
fn an_unknown_variable_with_the_prefix_of_a_setting_is_a_warning() {
    let variables = [
        ("SMS_SENDER_NAM", "hunter2"),
        ("DATABASE_URI", "hunter2"),
        ("HTTP_ADDR_FILE", "hunter2"),
        ("OTP_SECRET_FILES", "hunter2"),
        ("HTTP_PROXY", "x"),
        ("RUST_BACKTRACE", "1"),
        ("PATH", "x"),
        ("OTP_SECRET", "a"),
    ];
    let config = load(&variables).unwrap();
    let warned: Vec<&str> = config.warnings.iter().map(|warning| &*warning.setting).collect();
    assert_eq!(warned, ["DATABASE_URI", "HTTP_ADDR_FILE", "OTP_SECRET_FILES", "SMS_SENDER_NAM"]);
    assert_no_secret(&format!("{:?}", config.warnings));
}
