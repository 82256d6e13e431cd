//! The ages of secret files, and previous secrets.

use std::fs::File;
use std::time::Duration;

use super::Report;
use crate::harness::Program;

const DAY: Duration = Duration::from_hours(24);

#[test]
fn a_secret_file_older_than_a_year_is_a_warning() {
    let program = Program::new();
    for (name, days) in [("otp", 366), ("token", 364)] {
        let path = program.folder().join(name);
        std::fs::write(&path, format!("{name}-hunter2-is-a-secret-of-32-bytes")).unwrap();
        let file = File::open(&path).unwrap();
        file.set_modified(file.metadata().unwrap().modified().unwrap() - days * DAY).unwrap();
    }
    let program = program.with("OTP_SECRET_FILE", "otp").with("TOKEN_SECRET_FILE", "token");
    let report = Report::of(&program);
    assert_eq!(report.code, 0);
    report.assert("secrets.otp", "warning", "the file of OTP_SECRET was written 366 days ago");
    report.assert("secrets.token", "ok", "the file of TOKEN_SECRET was written 364 days ago");
    report.assert("secrets.otp_previous", "ok", "no previous secret");
    assert!(!report.json.to_string().contains("hunter2"), "{:#}", report.json);
}

#[test]
fn a_secret_of_unknown_age_is_skipped_and_a_previous_secret_is_a_warning() {
    let secret = |name: &str| format!("{name}-hunter2-is-a-secret-of-32-bytes");
    let mut program = Program::new();
    for name in ["OTP_SECRET", "OTP_SECRET_PREVIOUS", "TOKEN_SECRET", "TOKEN_SECRET_PREVIOUS"] {
        program = program.with(name, &secret(name));
    }
    let report = Report::of(&program);
    assert_eq!(report.code, 0);
    for name in ["otp", "token"] {
        report.assert(&format!("secrets.{name}"), "skipped", "is unknown");
        report.assert(&format!("secrets.{name}_previous"), "warning", "the previous secret is accepted");
    }
    assert!(!report.json.to_string().contains("hunter2"), "{:#}", report.json);
}
