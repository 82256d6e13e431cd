//! Sources of settings, their precedence, and how problems are reported.

use device_management::config::{Config, Environment, Origin};
use secrecy::ExposeSecret;

use super::{file_with, load, load_with_file, problems, shown};

#[test]
fn the_default_is_a_sandbox_on_loopback() {
    let config = load(&[]).unwrap();
    assert!(config.http_addr.ip().is_loopback() && config.metrics_addr.ip().is_loopback());
    assert!(config.shown.iter().all(|shown| shown.origin == Origin::Default));
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_default() {
    let file = "http_addr = \"127.0.0.1:1\"\ndatabase_max_connections = 2\nmigrate_on_start = false\n";
    let config = load_with_file(&[("HTTP_ADDR", "127.0.0.1:3")], file).unwrap();
    assert_eq!(config.http_addr.port(), 3);
    assert_eq!(config.database.max_connections, 2);
    assert!(!config.migrate_on_start);
    assert_eq!(shown(&config, "HTTP_ADDR").origin, Origin::Environment);
    assert_eq!(shown(&config, "DATABASE_MAX_CONNECTIONS").origin, Origin::File);
    assert_eq!(shown(&config, "METRICS_ADDR").origin, Origin::Default);
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let config = load_with_file(&[("HTTP_ADDR", ""), ("METRICS_ADDR", "")], "http_addr = \"127.0.0.1:1\"").unwrap();
    assert_eq!((config.http_addr.port(), config.metrics_addr.port()), (1, 9464));
}

#[test]
fn a_secret_is_read_from_its_file() {
    let secret = file_with("from a file\r\n");
    let path = secret.path().to_str().unwrap();
    for (variables, toml) in [
        (&[("TOKEN_SECRET_FILE", path)][..], String::new()),
        (&[], format!("token_secret_file = {path:?}")),
        // Either name in the environment wins over either name in the file.
        (&[("TOKEN_SECRET_FILE", path)], "token_secret = \"from the TOML file\"".to_owned()),
    ] {
        let config = load_with_file(variables, &toml).unwrap();
        assert_eq!(config.tokens.current.expose_secret(), "from a file", "{variables:?} {toml}");
    }
}

#[test]
fn a_secret_wins_over_its_file_from_the_same_source() {
    let secret = file_with("from a file");
    let path = secret.path().to_str().unwrap();
    let config = load(&[("TOKEN_SECRET_FILE", path), ("TOKEN_SECRET", "from the variable")]).unwrap();
    assert_eq!(config.tokens.current.expose_secret(), "from the variable");
}

#[test]
fn a_secret_file_that_is_missing_or_empty_is_a_problem() {
    let problem = problems(&[("SEON_API_KEY_FILE", "/no/such/file")], "");
    assert!(matches!(&problem[..], [one] if one.starts_with("SEON_API_KEY_FILE names a file that cannot be read")));
    let empty = file_with("\n");
    let problem = problems(&[("SEON_API_KEY_FILE", empty.path().to_str().unwrap())], "");
    assert_eq!(problem, ["SEON_API_KEY must not be empty: leave it out instead"]);
}

#[test]
fn a_misspelt_key_of_the_file_is_named() {
    let file = "htpp_addr = \"127.0.0.1:1\"\nHTTP_ADDR = \"127.0.0.1:1\"\nhttp_addr_file = \"x\"\n[smtp]\nhost = 1";
    let expected = [
        "HTTP_ADDR must be written in lower case in the file",
        "htpp_addr is not a setting",
        "http_addr_file is not a setting",
        "smtp is not a setting",
    ];
    let mut found = problems(&[], file);
    found.sort();
    assert_eq!(found, expected);
}

#[test]
fn a_value_of_the_wrong_type_is_a_problem_of_its_setting() {
    let found = problems(&[], "http_addr = [1]\ndatabase_max_connections = 1.5");
    let message = "must be a string, a whole number or a boolean";
    assert_eq!(found, [format!("http_addr {message}"), format!("database_max_connections {message}")]);
}

#[test]
fn the_error_for_invalid_toml_names_the_line_only() {
    let found = problems(&[], "http_addr = \"127.0.0.1:1\"\ntoken_secret = hunter2 hunter2\n");
    assert!(matches!(&found[..], [one] if one.ends_with("cannot be used: line 2 is not valid TOML")), "{found:?}");
}

#[test]
fn a_missing_file_is_a_problem() {
    let found = Config::load(&Environment::default(), Some("/no/such/config.toml".as_ref())).unwrap_err();
    assert!(matches!(&found[..], [one] if one.setting == "/no/such/config.toml"), "{found:?}");
}

#[test]
fn all_problems_are_reported_together_and_each_names_its_setting() {
    let bad = [
        ("HTTP_ADDR", "localhost"),
        ("METRICS_ADDR", "9464"),
        ("DATABASE_URL", "mysql://root@db/x"),
        ("DATABASE_MAX_CONNECTIONS", "0"),
        ("MIGRATE_ON_START", "yes"),
        ("LOG_FORMAT", "xml"),
        ("RUST_LOG", "a=b=c"),
        ("REQUEST_BODY_LIMIT_BYTES", "-1"),
        ("REQUEST_DEADLINE_SECONDS", "1.5"),
        ("SHUTDOWN_DELAY_SECONDS", "61"),
        ("SANDBOX_OTP", "12345"),
        ("OTP_SECRET_VERSION", "0"),
        ("TOKEN_LIFETIME_SECONDS", "59"),
        ("EXTERNAL_ISSUER", "login.example"),
        ("EXTERNAL_PARTNER_CLAIM", "two words"),
        ("SANDBOX_CLIENT", "1"),
        ("SMS_PROVIDERS", "console,pigeon"),
        ("SMS_RETRY_UNCERTAIN", "maybe"),
        ("SMS_TIMEOUT_MS", "2499"),
        ("SMS_BREAKER_FAILURES", "1001"),
        ("SMS_BREAKER_SECONDS", "0"),
        ("SMS_SENDER_NAME", "Bank 24"),
        ("SMS_IOS_DOMAIN", "Bank.Example"),
        ("SEON_BASE_URL", "ftp://seon.example"),
        ("SEON_POLICY", "watch"),
        ("SEON_ON_ERROR", "shrug"),
        ("LIMIT_DEVICES_PER_PERSON", "0"),
        ("CHALLENGE_LIFE_SECONDS", "601"),
        ("SMS_LANGUAGE", "it"),
    ];
    let mut found: Vec<String> = load(&bad).unwrap_err().into_iter().map(|problem| problem.setting).collect();
    let mut expected: Vec<&str> = bad.iter().map(|(name, _)| *name).collect();
    found.sort();
    expected.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn an_external_issuer_needs_an_audience() {
    let found = problems(&[("EXTERNAL_ISSUER", "https://login.example")], "");
    assert!(matches!(&found[..], [one] if one.starts_with("EXTERNAL_AUDIENCE is required")), "{found:?}");
}

#[test]
fn an_sms_provider_needs_exactly_one_of_two_settings() {
    let webhook = |token, hmac| {
        let url = "https://sms.example";
        let variables = [("SMS_PROVIDERS", "webhook"), ("SMS_WEBHOOK_URL", url)];
        let secrets = [("SMS_WEBHOOK_TOKEN", token), ("SMS_WEBHOOK_HMAC_SECRET", hmac)];
        load(&[&variables[..], &secrets].concat()).map(drop).map_err(|problems| problems.len())
    };
    assert_eq!(
        [webhook("", ""), webhook("a", ""), webhook("", "b"), webhook("a", "b")],
        [Err(1), Ok(()), Ok(()), Err(1)]
    );
    let twilio = |from, service| {
        let variables = [("SMS_PROVIDERS", "twilio"), ("TWILIO_ACCOUNT_SID", "AC1"), ("TWILIO_AUTH_TOKEN", "t")];
        let senders = [("TWILIO_FROM", from), ("TWILIO_MESSAGING_SERVICE_SID", service)];
        load(&[&variables[..], &senders].concat()).map(drop).map_err(|problems| problems.len())
    };
    assert_eq!([twilio("", ""), twilio("a", ""), twilio("", "b"), twilio("a", "b")], [Err(1), Ok(()), Ok(()), Err(1)]);
}

#[test]
fn a_provider_is_listed_once() {
    let found = problems(&[("SMS_PROVIDERS", "console, webhook,console")], "");
    assert_eq!(found, ["SMS_PROVIDERS must not list a provider twice"]);
}

#[test]
fn secrets_are_redacted_in_shown_settings_and_problems() {
    let secrets = [
        ("DATABASE_URL", "postgres://app:hunter2@db.example/devices"),
        ("OTP_SECRET", "hunter2-otp"),
        ("OTP_SECRET_PREVIOUS", "hunter2-otp-previous"),
        ("TOKEN_SECRET", "hunter2-token"),
        ("TOKEN_SECRET_PREVIOUS", "hunter2-token-previous"),
        ("SMS_WEBHOOK_URL", "https://sms.example/hunter2?key=hunter2"),
        ("SMS_WEBHOOK_TOKEN", "hunter2-webhook"),
        ("SMS_WEBHOOK_HMAC_SECRET", "hunter2-hmac"),
        ("TWILIO_AUTH_TOKEN", "hunter2-twilio"),
        ("SEON_API_KEY", "hunter2-seon"),
    ];
    let config = load(&secrets).unwrap();
    for (name, _) in secrets {
        assert_eq!(shown(&config, name).value.as_deref(), Some("<secret>"));
    }
    assert!(!format!("{config:?}").contains("hunter2"), "{config:?}");

    // The same with an invalid character in each.
    let spoilt: Vec<(&str, String)> =
        secrets.iter().map(|(name, secret)| (*name, format!("\u{e9} {secret}"))).collect();
    let mut spoilt: Vec<(&str, &str)> = spoilt.iter().map(|(name, secret)| (*name, &**secret)).collect();
    spoilt.extend([("MODE", "production"), ("SMS_PROVIDERS", "webhook,twilio")]);
    let found = problems(&spoilt, "").join("\n");
    assert!(!found.contains("hunter2"), "{found}");
}

#[test]
fn a_pooler_needs_postgres_and_no_migrations_on_start() {
    let through = ("DATABASE_POOLER", "transaction");
    let postgres = ("DATABASE_URL", "postgres://db.example/devices");
    assert!(load(&[through, postgres, ("MIGRATE_ON_START", "false")]).is_ok());
    let found = problems(&[through], "").join("\n");
    assert!(found.contains("DATABASE_POOLER must be none with SQLite"), "{found}");
    assert!(found.contains("MIGRATE_ON_START must be false"), "{found}");
    assert!(problems(&[("DATABASE_POOLER", "session")], "")[0].contains("must be none or transaction"));
}
