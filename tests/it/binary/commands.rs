//! The commands other than `serve`: their output and exit codes.

use super::{PATIENCE, fail, run};
use crate::harness::{Program, free_port};

#[test]
fn config_check_says_whether_the_service_would_start() {
    assert_eq!(run(&Program::new(), &["config", "check"]), (0, vec!["the configuration is valid".to_owned()]));
    let (code, logs) = fail(&Program::new().with("LOG_FORMAT", "xml").with("RUST_LOG", "a=b=c"), &["config", "check"]);
    assert_eq!(code, 2);
    assert!(logs.contains("\n  LOG_FORMAT must be text or json\n  RUST_LOG is not a log filter"), "{logs}");
}

#[test]
fn config_print_shows_each_setting_with_its_origin_and_no_secret() {
    let program = Program::new();
    std::fs::write(program.folder().join("secret"), "hunter2\n").unwrap();
    std::fs::write(program.folder().join("config.toml"), "otp_secret = \"hunter2\"\nsms_language = \"en\"\n").unwrap();
    let program = program
        .with("DATABASE_URL", "postgres://app:hunter2@db.example/devices")
        .with("SEON_API_KEY_FILE", "secret")
        .with("SMS_WEBHOOK_URL", "https://sms.example/?key=hunter2")
        .with("CONFIG_FILE", "config.toml");
    let (code, output) = run(&program, &["config", "print"]);
    assert_eq!(code, 0);
    for line in [
        "MODE=sandbox (default)",
        "HTTP_ADDR=127.0.0.1:0 (environment)",
        "SMS_LANGUAGE=en (file)",
        "DATABASE_URL=<secret> (environment)",
        "OTP_SECRET=<secret> (file)",
        "SEON_API_KEY=<secret> (environment)",
        "SMS_WEBHOOK_URL=<secret> (environment)",
        "TOKEN_SECRET= (default)",
    ] {
        assert!(output.contains(&line.to_owned()), "{line}: {output:#?}");
    }
    assert!(!output.concat().contains("hunter2"), "{output:#?}");
}

#[test]
fn healthcheck_exits_with_0_only_if_the_service_is_ready() {
    let service = Program::new().serve();
    let address = service.base_url().replace("http://", "");
    let check = |address: &str| Program::new().with("HTTP_ADDR", address);
    assert_eq!(run(&check(&address), &["healthcheck"]), (0, vec!["ready".to_owned()]));
    // For a service that listens on every address, the check uses loopback.
    let everywhere = address.replace("127.0.0.1", "0.0.0.0");
    assert_eq!(run(&check(&everywhere), &["healthcheck"]), (0, vec!["ready".to_owned()]));
    let unreachable = format!("127.0.0.1:{}", free_port());
    assert_eq!(fail(&check(&unreachable), &["healthcheck"]).0, 1);
}

#[test]
fn client_create_refuses_an_invalid_partner_name_or_permission() {
    let program = Program::new();
    program.serve().wait_for_log("listening", PATIENCE);
    for (arguments, message) in [
        (&["--partner", "Bank"][..], "--partner must be 1 to 64 characters of a-z 0-9 - _"),
        (&["--partner", "bank", "--name", "a\tb"], "--name must not contain control characters"),
        (&["--partner", "bank", "--permission", "all"], "there is no permission all; try numbers:assert"),
    ] {
        let (code, logs) = fail(&program, &[&["client", "create"], arguments].concat());
        assert_eq!(code, 1);
        assert!(logs.contains(message), "{logs}");
    }
    assert_eq!(run(&program, &["client", "list"]).1.len(), 1);
}

#[test]
fn clients_of_an_unmigrated_database_cannot_be_listed() {
    let (code, logs) = fail(&Program::new(), &["client", "list"]);
    assert_eq!(code, 1);
    assert!(logs.contains("migrations are missing: run `device-management migrate`"), "{logs}");
}

#[test]
fn version_and_help_are_printed() {
    let (code, output) = run(&Program::new(), &["--version"]);
    assert_eq!((code, output.concat()), (0, concat!("device-management ", env!("CARGO_PKG_VERSION")).to_owned()));
    let help = run(&Program::new(), &["--help"]).1.join("\n");
    for command in ["serve", "migrate", "client", "audit", "person", "config", "healthcheck", "phone", "--config"] {
        assert!(help.contains(command), "{help}");
    }
}
