//! `doctor` tells each fault of an installation, with what to do, and changes nothing.

mod data;
mod database;
mod providers;
mod roles;
mod secrets;
mod sqlite_file;

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::binary::exit_code;
use crate::harness::{Process, Program, TestDatabase, on_both_databases, on_citus};

on_both_databases![a_healthy_installation_has_no_failure, an_invalid_setting_does_not_hide_the_other_checks];
on_citus![a_healthy_installation_has_no_failure];

/// A report with the exit code of the command.
pub(crate) struct Report {
    pub(crate) code: i32,
    json: Value,
}

impl Report {
    /// Runs `doctor --format json`.
    pub(crate) fn of(program: &Program) -> Self {
        Self::from_process(&program.start(&["doctor", "--format", "json"]))
    }

    /// The report of a process that was started with `doctor --format json`.
    pub(crate) fn from_process(process: &Process) -> Self {
        let code = exit_code(process);
        assert_eq!(process.logs(), Vec::<String>::new(), "nothing is written to standard error");
        let text = process.output().join("\n");
        Self { code, json: serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")) }
    }

    pub(crate) fn check(&self, id: &str) -> &Value {
        let mut found = self.checks().iter().filter(|check| check["id"] == id);
        let check = found.next().unwrap_or_else(|| panic!("no check {id}: {:#}", self.json));
        assert!(found.next().is_none(), "two checks {id}: {:#}", self.json);
        check
    }

    pub(crate) fn status(&self, id: &str) -> &str {
        self.check(id)["status"].as_str().unwrap()
    }

    /// Asserts the status of a check, and that the sentence of what was found contains a text.
    #[track_caller]
    pub(crate) fn assert(&self, id: &str, status: &str, found: &str) {
        let check = self.check(id);
        assert_eq!(check["status"], status, "{check:#}");
        assert!(check["found"].as_str().unwrap().contains(found), "{found}: {check:#}");
        let has_remedy = check["remedy"].as_str().is_some_and(|remedy| !remedy.is_empty());
        assert_eq!(has_remedy, ["warning", "failure"].contains(&status), "{check:#}");
    }

    /// The ids of the checks with this status.
    pub(crate) fn with_status(&self, status: &str) -> Vec<&str> {
        let checks = self.checks().iter().filter(|check| check["status"] == status);
        checks.map(|check| check["id"].as_str().unwrap()).collect()
    }

    fn checks(&self) -> &[Value] {
        self.json["checks"].as_array().unwrap()
    }
}

fn on(database: &TestDatabase) -> Program {
    Program::new().with("DATABASE_URL", database.url()).with("MIGRATE_ON_START", "false")
}

async fn a_healthy_installation_has_no_failure(database: TestDatabase) {
    let program = on(&database);
    let report = Report::of(&program);
    assert_eq!((report.code, report.with_status("failure")), (0, vec![]));
    assert_eq!(report.status("database.migrations"), "ok");
    assert_eq!(report.json["mode"], "sandbox");
    assert_eq!(report.json["version"], env!("CARGO_PKG_VERSION"));
    for status in ["ok", "warning", "failure", "skipped"] {
        assert_eq!(report.json["summary"][status], report.with_status(status).len(), "{status}");
    }
    let process = program.start(&["doctor"]);
    assert_eq!(exit_code(&process), 0);
    let text = process.output();
    for check in report.checks() {
        let (status, id) = (check["status"].as_str().unwrap(), check["id"].as_str().unwrap());
        let has_check = |line: &&String| line.split_whitespace().take(2).eq([status, id]);
        assert_eq!(text.iter().filter(has_check).count(), 1, "{status} {id}: {text:#?}");
    }
}

async fn an_invalid_setting_does_not_hide_the_other_checks(database: TestDatabase) {
    let program =
        on(&database).with("SMS_PROVIDERS", "pigeons").with("LOG_FORMAT", "xml").with("HTTP_ADDRESS_OF_API", "x");
    let report = Report::of(&program);
    assert_eq!(report.code, 1);
    assert_eq!(report.with_status("failure"), ["settings", "settings.log_format", "settings.sms_providers"]);
    report.assert("settings.log_format", "failure", "LOG_FORMAT must be text or json");
    report.assert("settings.http_address_of_api", "warning", "is not a setting");
    assert_eq!(report.status("database.migrations"), "ok");
}

#[test]
fn an_unreadable_configuration_file_leaves_nothing_to_check() {
    let program = Program::new();
    std::fs::write(program.folder().join("config.toml"), "otp_secret = \"hunter2\"\nmode production").unwrap();
    for (name, value) in [("CONFIG_FILE", "config.toml"), ("CONFIG_FILE", "nowhere.toml"), ("MODE", "live")] {
        let report = Report::of(&program.clone().with(name, value));
        assert_eq!(report.code, 2, "{name}={value}");
        assert_eq!((report.with_status("ok"), report.with_status("warning")), (vec![], vec![]));
        assert!(report.json.get("mode").is_none(), "the mode is unknown");
        assert!(!report.json.to_string().contains("hunter2"), "{:#}", report.json);
    }
}

/// The expressions of `docs/operations.md#doctor`.
#[test]
fn the_report_is_one_json_object_for_jq() {
    let program = Program::new();
    let mut doctor = program.command(&["doctor", "--format", "json"]);
    let mut doctor = doctor.stdout(Stdio::piped()).spawn().unwrap();
    let mut jq = Command::new("jq");
    jq.args(["-er", r#".checks[] | select(.status != "ok" and .status != "skipped") | .id"#]);
    let done = jq.stdin(doctor.stdout.take().unwrap()).output().expect("jq is installed");
    assert!(doctor.wait().unwrap().success(), "the sandbox without a database has only warnings");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(String::from_utf8(done.stdout).unwrap(), "settings.mode\ndatabase.file\n");
}
