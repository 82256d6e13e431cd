//! Settings with which production refuses to start (docs/api-design.md#sandbox-and-production).

use device_management::config::{CodeSettings, Mode};
use device_management::sms::ProviderSettings;
use device_management::store::Synchronous;

use super::{load, problems};

/// The minimal settings of production.
pub(super) const PRODUCTION: [(&str, &str); 7] = [
    ("MODE", "production"),
    ("DATABASE_URL", "postgres://app:a-password@db.example/devices?sslmode=verify-full"),
    ("OTP_SECRET", "9b1f0c6de24f4be0a43cb8c1c0a1f2d3"),
    ("TOKEN_SECRET", "4e5d6c7b8a990817263544f3e2d1c0bf"),
    ("SMS_PROVIDERS", "webhook"),
    ("SMS_WEBHOOK_URL", "https://sms.example/send"),
    ("SMS_WEBHOOK_TOKEN", "a-token-for-the-gateway"),
];

/// The same with some variables changed; an empty value removes the variable.
pub(super) fn production_but<'a>(changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let kept = PRODUCTION.iter().filter(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
    kept.chain(changes).copied().collect()
}

#[track_caller]
pub(super) fn assert_refused(changes: &[(&str, &str)], expected: &[&str]) {
    let problems = problems(&production_but(changes), "");
    let fits = problems.len() == expected.len() && problems.iter().zip(expected).all(|(p, e)| p.starts_with(e));
    assert!(fits, "expected {expected:#?}, got {problems:#?}");
}

#[test]
fn production_starts_with_a_database_secrets_and_an_sms_provider() {
    let config = load(&PRODUCTION).unwrap();
    assert_eq!(config.mode, Mode::Production);
    assert!(!config.sandbox_client);
    assert!(matches!(config.codes, CodeSettings::Derived { version: 1, .. }));
    assert!(matches!(config.sms.providers[..], [ProviderSettings::Gateway(_)]));
}

#[test]
fn console_sms_is_refused_anywhere_in_the_list() {
    for list in ["console", "webhook,console", "console, webhook"] {
        assert_refused(&[("SMS_PROVIDERS", list)], &["SMS_PROVIDERS must not contain console in production"]);
    }
    assert_refused(&[("SMS_PROVIDERS", "")], &["SMS_PROVIDERS must not contain console in production"]);
}

#[test]
fn a_fixed_code_is_refused_and_random_ones_are_not() {
    assert_refused(&[("SANDBOX_OTP", "212212")], &["SANDBOX_OTP must not be set in production"]);
    load(&production_but(&[("SANDBOX_OTP", "random")])).unwrap();
}

#[test]
fn the_sandbox_client_is_refused() {
    assert_refused(&[("SANDBOX_CLIENT", "true")], &["SANDBOX_CLIENT must be false in production"]);
}

#[test]
fn missing_secrets_are_refused() {
    assert_refused(
        &[("OTP_SECRET", ""), ("TOKEN_SECRET", "")],
        &["OTP_SECRET is required in production", "TOKEN_SECRET is required in production"],
    );
}

#[test]
fn secrets_of_less_than_32_bytes_are_refused() {
    let (short, enough) = ("9b1f0c6de24f4be0a43cb8c1c0a1f2d", "9b1f0c6de24f4be0a43cb8c1c0a1f2d0");
    for name in ["OTP_SECRET", "OTP_SECRET_PREVIOUS", "TOKEN_SECRET", "TOKEN_SECRET_PREVIOUS"] {
        assert_refused(&[(name, short)], &[&format!("{name} is too short: at least 32 bytes")]);
        load(&production_but(&[(name, enough)])).unwrap();
    }
}

#[test]
fn the_secrets_of_the_sandbox_are_refused() {
    let sandbox = load(&[("SANDBOX_OTP", "random")]).unwrap();
    let CodeSettings::Derived { current, .. } = sandbox.codes else { panic!("the codes are random") };
    for secret in [current, sandbox.tokens.current] {
        let secret = secrecy::ExposeSecret::expose_secret(&secret);
        for name in ["OTP_SECRET", "OTP_SECRET_PREVIOUS", "TOKEN_SECRET", "TOKEN_SECRET_PREVIOUS"] {
            assert_refused(&[(name, secret)], &[&format!("{name} must not be the sandbox's secret")]);
        }
    }
}

#[test]
fn one_secret_for_two_purposes_is_refused() {
    let secret = "0123456789abcdef0123456789abcdef";
    let names = [
        "OTP_SECRET",
        "OTP_SECRET_PREVIOUS",
        "TOKEN_SECRET",
        "TOKEN_SECRET_PREVIOUS",
        "SMS_WEBHOOK_TOKEN",
        "TWILIO_AUTH_TOKEN",
        "SEON_API_KEY",
    ];
    for (index, later) in names.iter().enumerate() {
        for earlier in &names[..index] {
            let changes = [(*earlier, secret), (*later, secret)];
            if later.strip_suffix("_PREVIOUS") == Some(earlier) {
                load(&production_but(&changes)).unwrap();
            } else {
                assert_refused(&changes, &[&format!("{later} must not be the same as {earlier}")]);
            }
        }
    }
}

#[test]
fn a_database_must_be_named() {
    assert_refused(&[("DATABASE_URL", "")], &["DATABASE_URL is required in production"]);
    load(&production_but(&[("DATABASE_URL", "sqlite://device-management.db")])).unwrap();
}

#[test]
fn sqlite_waits_for_the_disk_at_every_commit_in_production_and_not_in_the_sandbox() {
    let sqlite = ("DATABASE_URL", "sqlite://device-management.db");
    assert_eq!(load(&production_but(&[sqlite])).unwrap().database.sqlite_synchronous, Synchronous::Full);
    assert_refused(&[("SQLITE_SYNCHRONOUS", "normal")], &["SQLITE_SYNCHRONOUS must be full in production"]);
    assert_eq!(load(&[]).unwrap().database.sqlite_synchronous, Synchronous::Normal);
    let durable = load(&[("SQLITE_SYNCHRONOUS", "full")]).unwrap();
    assert_eq!(durable.database.sqlite_synchronous, Synchronous::Full);
}

#[test]
fn a_remote_database_needs_tls() {
    let refused = ["DATABASE_URL must have sslmode=verify-full in production"];
    for host in ["db.example", "10.0.0.1", "[2001:db8::1]", "localhost.example", "128.0.0.1"] {
        for mode in ["", "?sslmode=disable", "?sslmode=allow", "?sslmode=prefer"] {
            let url = format!("postgres://app@{host}/devices{mode}");
            assert_refused(&[("DATABASE_URL", &url)], &refused);
        }
        for (mode, warnings) in [("require", 1), ("verify-ca", 1), ("verify-full", 0)] {
            let url = format!("postgres://app@{host}/devices?sslmode={mode}");
            let config = load(&production_but(&[("DATABASE_URL", &url)])).unwrap();
            assert_eq!(config.warnings.len(), warnings, "{mode}: {:?}", config.warnings);
        }
    }
    assert_refused(&[("DATABASE_URL", "postgres://app@localhost/devices?host=db.example")], &refused);
    for near in ["localhost", "127.0.0.1", "127.1.2.3:5433", "[::1]", "[::1]:5433", "%2Fvar%2Frun%2Fpostgresql"] {
        load(&production_but(&[("DATABASE_URL", &format!("postgres://app@{near}/devices?sslmode=disable"))])).unwrap();
    }
}

#[test]
fn an_empty_mode_is_refused() {
    for nothing in ["", " ", "\n"] {
        assert_eq!(
            problems(&[("MODE", nothing)], ""),
            ["MODE must not be empty: sandbox or production, or leave it out"]
        );
    }
}

#[test]
fn other_servers_need_https() {
    for name in ["SMS_WEBHOOK_URL", "SEON_BASE_URL", "TWILIO_BASE_URL", "EXTERNAL_JWKS_URL"] {
        assert_refused(&[(name, "http://api.example/")], &[&format!("{name} must begin with https:// in production")]);
        load(&production_but(&[(name, "https://api.example/")])).unwrap();
    }
    assert_refused(
        &[("EXTERNAL_ISSUER", "http://login.example"), ("EXTERNAL_AUDIENCE", "us")],
        &["EXTERNAL_ISSUER must begin with https:// in production"],
    );
}

#[test]
fn the_request_deadline_exceeds_the_timeouts_of_the_providers_and_seon() {
    let twilio = [
        ("SMS_PROVIDERS", "webhook,twilio"),
        ("TWILIO_ACCOUNT_SID", "AC1"),
        ("TWILIO_AUTH_TOKEN", "a-token"),
        ("TWILIO_FROM", "Bank"),
    ];
    let seon = [("SEON_API_KEY", "a-licence"), ("SEON_TIMEOUT_MS", "2500")];
    let both = [&twilio[..], &seon].concat();
    // The default timeout of a provider is 5 seconds.
    for (others, longest, enough) in [(&[][..], "5", "6"), (&twilio, "10", "11"), (&both, "12.5", "13")] {
        let with_deadline = |seconds| [others, &[("REQUEST_DEADLINE_SECONDS", seconds)]].concat();
        let whole = longest.split('.').next().unwrap();
        assert_refused(&with_deadline(whole), &[&format!("REQUEST_DEADLINE_SECONDS must be above {longest}:")]);
        load(&production_but(&with_deadline(enough))).unwrap();
    }
    assert_refused(&[("SMS_TIMEOUT_MS", "15000")], &["REQUEST_DEADLINE_SECONDS must be above 15:"]);
    // The sandbox allows it.
    load(&[("REQUEST_DEADLINE_SECONDS", "1")]).unwrap();
}

#[test]
fn a_fraud_policy_needs_the_api_key_of_seon() {
    for policy in [("SEON_POLICY", "enforce"), ("SEON_ON_ERROR", "deny")] {
        for key in ["", " \n"] {
            assert_refused(&[policy, ("SEON_API_KEY", key)], &["SEON_API_KEY is required by SEON_POLICY=enforce"]);
        }
        load(&production_but(&[policy, ("SEON_API_KEY", "a-licence")])).unwrap();
    }
}

#[test]
fn all_problems_of_production_are_reported_together() {
    let changes = [
        ("SANDBOX_OTP", "212212"),
        ("OTP_SECRET", ""),
        ("TOKEN_SECRET", "short"),
        ("SANDBOX_CLIENT", "true"),
        ("SMS_PROVIDERS", "console,webhook,twilio"),
        ("SMS_WEBHOOK_URL", ""),
        ("SMS_WEBHOOK_TOKEN", "with a blank"),
        ("SEON_BASE_URL", "http://seon.example"),
        ("HTTP_ADDR", "8080"),
    ];
    let expected = [
        "HTTP_ADDR must be an address with a port",
        "OTP_SECRET is required in production",
        "SANDBOX_OTP must not be set in production",
        "TOKEN_SECRET is too short",
        "SANDBOX_CLIENT must be false in production",
        "SMS_PROVIDERS must not contain console in production",
        "SMS_WEBHOOK_TOKEN may contain only visible ASCII characters",
        "SMS_WEBHOOK_URL is required by SMS_PROVIDERS=webhook",
        "TWILIO_FROM or TWILIO_MESSAGING_SERVICE_SID is required by SMS_PROVIDERS=twilio",
        "TWILIO_ACCOUNT_SID is required by SMS_PROVIDERS=twilio",
        "TWILIO_AUTH_TOKEN is required by SMS_PROVIDERS=twilio",
        "SEON_BASE_URL must begin with https:// in production",
    ];
    assert_refused(&changes, &expected);
}

#[test]
fn the_sandbox_accepts_what_production_refuses() {
    let settings = [
        ("SANDBOX_OTP", "000000"),
        ("OTP_SECRET", "short"),
        ("TOKEN_SECRET", "short"),
        ("SEON_BASE_URL", "http://127.0.0.1:9"),
        ("SMS_PROVIDERS", "console"),
    ];
    let config = load(&settings).unwrap();
    assert!(config.sandbox_client);
    assert!(matches!(&config.codes, CodeSettings::Fixed(code) if code == "000000"));
}
