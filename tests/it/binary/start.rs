//! The start of the service, and the messages when it fails.

use std::process::Command;

use super::{PATIENCE, exit_code, fail, production_on, run, sandbox_on};
use crate::harness::{Engine, Process, Program, Schema, Start, TestDatabase, on_both_databases};

/// A database without tables.
struct Empty(TestDatabase);

impl Start for Empty {
    async fn start(engine: Engine) -> Self {
        static NO_TABLES: Schema = Schema::new(|_| Box::pin(async {}));
        Self(NO_TABLES.database(engine).await)
    }
}

on_both_databases![migrations_can_run_before_the_start, an_unmigrated_database_is_refused_without_migrate_on_start];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_default_configuration_runs_on_loopback_and_logs_how_to_get_a_token() {
    let program = Program::new();
    let service = program.serve();
    let logs = service.wait_for_log("get a token", PATIENCE);
    assert!(program.folder().join("device-management.db").is_file(), "SQLite in the working folder");
    assert!(service.base_url().starts_with("http://127.0.0.1:"));
    assert!(service.logs().iter().any(|line| line.contains("SANDBOX: codes and secrets are public")));
    assert!(service.logs().iter().any(|line| line.contains("SQLite does not wait for the disk at a commit")));

    let (_, command) = logs.split_once("get a token: ").unwrap();
    assert!(command.starts_with("curl ") && command.contains(&service.base_url()), "{command}");
    let curl = Process::start(Command::new("sh").args(["-c", command]).env("no_proxy", "*"));
    assert_eq!(exit_code(&curl), 0, "{:?}", curl.logs());
    let answer: serde_json::Value = serde_json::from_str(&curl.output().concat()).unwrap();
    let client = service.with_token(answer["access_token"].as_str());
    client.get("/v1/mfa/devices").await.assert_status(200);
}

#[test]
fn the_ports_are_8080_and_9464_on_loopback_unless_set() {
    let program = Program::new().with("HTTP_ADDR", "").with("METRICS_ADDR", "");
    let (code, output) = run(&program, &["config", "print"]);
    assert_eq!(code, 0);
    assert!(output.contains(&"HTTP_ADDR=127.0.0.1:8080 (default)".to_owned()), "{output:#?}");
    assert!(output.contains(&"METRICS_ADDR=127.0.0.1:9464 (default)".to_owned()), "{output:#?}");
}

#[test]
fn a_configuration_file_is_named_by_the_command_line_or_a_variable() {
    let program = Program::new().with("SMS_LANGUAGE", "fr");
    std::fs::write(program.folder().join("my.toml"), "sms_language = \"en\"\nlimit_keys_per_device = 7\n").unwrap();
    let by_flag = run(&program, &["--config", "my.toml", "config", "print"]);
    let by_variable = run(&program.with("CONFIG_FILE", "my.toml"), &["config", "print"]);
    assert_eq!(by_flag, by_variable);
    for line in ["SMS_LANGUAGE=fr (environment)", "LIMIT_KEYS_PER_DEVICE=7 (file)"] {
        assert!(by_flag.1.contains(&line.to_owned()), "{:#?}", by_flag.1);
    }
}

#[test]
fn a_port_in_use_is_reported_with_its_setting() {
    let first = Program::new().serve();
    let taken = |url: &str| url.trim_start_matches("http://").trim_end_matches("/metrics").to_owned();
    for (setting, address) in [("HTTP_ADDR", taken(&first.base_url())), ("METRICS_ADDR", taken(&first.metrics_url()))] {
        let (code, logs) = fail(&Program::new().with(setting, &address), &[]);
        assert_eq!(code, 1);
        let message = format!("device-management: cannot listen on {setting}={address}: Address already in use");
        assert!(logs.contains(&message), "{logs}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn production_reports_all_problems_and_does_not_start() {
    let (code, logs) = fail(&Program::new().with("MODE", "production").with("SANDBOX_CLIENT", "true"), &["serve"]);
    assert_eq!(code, 2);
    let lines: Vec<&str> = logs.lines().collect();
    assert_eq!(lines[0], "the configuration is invalid:");
    let settings: Vec<&str> = lines[1..].iter().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(settings, ["DATABASE_URL", "OTP_SECRET", "TOKEN_SECRET", "SANDBOX_CLIENT", "SMS_PROVIDERS"]);
}

async fn migrations_can_run_before_the_start(Empty(database): Empty) {
    let program = sandbox_on(&database).with("MIGRATE_ON_START", "false");
    for _ in 0..2 {
        assert_eq!(run(&program, &["migrate"]), (0, vec!["the database is up to date".to_owned()]));
    }
    program.serve().stranger().get("/readyz").await.assert_status(200);
}

/// The lock of the migrations would be held by one backend while their statements run on another.
#[test]
fn migrate_refuses_a_pooler() {
    let program = Program::new()
        .with("DATABASE_URL", "postgres://app@127.0.0.1:1/devices")
        .with("DATABASE_POOLER", "transaction")
        .with("MIGRATE_ON_START", "false");
    let (code, logs) = fail(&program, &["migrate"]);
    assert_eq!(code, 1);
    assert!(logs.contains("use a DATABASE_URL that bypasses the pooler, and DATABASE_POOLER=none"), "{logs}");
}

async fn an_unmigrated_database_is_refused_without_migrate_on_start(Empty(database): Empty) {
    let (code, logs) = fail(&sandbox_on(&database).with("MIGRATE_ON_START", "false"), &[]);
    assert_eq!(code, 1);
    let message = "device-management: migrations are missing: run `device-management migrate`";
    assert_eq!(logs.lines().last(), Some(message));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_start_together_on_an_empty_database_all_succeed() {
    if !Engine::Postgres.is_there_for("binary::start::processes_that_start_together").await {
        return;
    }
    let Empty(database) = Empty::start(Engine::Postgres).await;
    let programs: Vec<Program> = (0..4).map(|_| production_on(&database)).collect();
    let migrations: Vec<Process> = programs[..2].iter().map(|program| program.start(&["migrate"])).collect();
    let services: Vec<Process> = programs[2..].iter().map(|program| program.start(&["serve"])).collect();
    for migration in migrations {
        assert_eq!(exit_code(&migration), 0, "{:?}", migration.logs());
    }
    for service in services {
        service.wait_for_log("listening", PATIENCE);
        service.terminate();
        assert_eq!(exit_code(&service), 0, "{:?}", service.logs());
    }
}

#[test]
fn an_unreachable_database_is_reported_without_its_password() {
    let url = "postgres://app:hunter2@127.0.0.1:1/devices";
    let (code, logs) = fail(&Program::new().with("DATABASE_URL", url), &[]);
    assert_eq!(code, 1);
    assert!(
        logs.contains("device-management: the database could not be migrated: the database is unavailable"),
        "{logs}"
    );
    assert!(!logs.contains("hunter2"), "{logs}");
}

#[test]
fn an_unknown_command_exits_with_2() {
    let (code, logs) = fail(&Program::new(), &["sevre"]);
    assert_eq!(code, 2);
    assert!(logs.contains("unrecognized subcommand 'sevre'"), "{logs}");
}
