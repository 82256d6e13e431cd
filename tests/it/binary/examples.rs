//! The scripts in `examples/`, run against the executable.

use std::path::Path;
use std::process::Command;
use std::{fs, thread};

use super::{PATIENCE, exit_code, sandbox_on};
use crate::harness::{Process, Program, Service, TestDatabase, on_both_databases};

on_both_databases![the_example_of_the_api_reference_can_run_twice, sign_sh_binds_a_device_adds_a_key_and_deletes_it];

fn example(name: &str, service: &Service) -> Command {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name));
    command.env("BASE_URL", service.base_url()).env("no_proxy", "*");
    command
}

#[track_caller]
fn assert_succeeds(mut script: Command) -> Vec<String> {
    let process = Process::start(&mut script);
    assert_eq!(exit_code(&process), 0, "{}\n{}", process.output().join("\n"), process.logs().join("\n"));
    process.output()
}

/// The statuses that a script printed.
fn statuses(output: &[String]) -> Vec<&str> {
    output.iter().filter(|line| line.starts_with(|c: char| c.is_ascii_digit())).map(|line| &line[..3]).collect()
}

async fn the_example_of_the_api_reference_can_run_twice(database: TestDatabase) {
    let service = sandbox_on(&database).serve();
    let first = assert_succeeds(example("bind.sh", &service));
    assert_eq!(statuses(&first), ["200", "404", "200", "201", "202", "204", "200"]);
    assert!(first.last().unwrap().contains("\"name\":\"Test device\""), "{first:#?}");
    let second = assert_succeeds(example("bind.sh", &service));
    assert_eq!(statuses(&second), ["200", "200", "200", "204", "201", "202", "204", "200"]);
}

async fn sign_sh_binds_a_device_adds_a_key_and_deletes_it(database: TestDatabase) {
    let program = sandbox_on(&database).with("SANDBOX_OTP", "random");
    let service = program.serve();
    let log = program.folder().join("service.log");
    fs::write(&log, "").unwrap();
    let output = thread::scope(|scope| {
        // The only line that the script needs.
        scope.spawn(|| fs::write(&log, service.wait_for_log("SMS to", PATIENCE)).unwrap());
        let mut script = example("sign.sh", &service);
        script.env("SERVER_LOG", &log);
        assert_succeeds(script)
    });
    assert_eq!(statuses(&output), ["200", "201", "202", "204", "201", "200", "204", "200", "404"]);
}

#[test]
fn a_failed_step_ends_the_script_with_a_message() {
    let random = Program::new().with("SANDBOX_OTP", "random").serve();
    let mut wrong_secret = example("bind.sh", &random);
    wrong_secret.env("CLIENT_SECRET", "wrong");
    let mut unreachable = example("bind.sh", &random);
    unreachable.env("BASE_URL", "http://127.0.0.1:1");
    for (mut script, message) in [
        (example("bind.sh", &random), "bind.sh: expected 204, got 403: {\"errors\""),
        (wrong_secret, "bind.sh: expected 200, got 401: {\"error\":\"invalid_client\""),
        (unreachable, "bind.sh: no answer from http://127.0.0.1:1: is the service running there?"),
        (example("sign.sh", &random), "SERVER_LOG: must name the log file of the service"),
    ] {
        let process = Process::start(&mut script);
        assert_ne!(exit_code(&process), 0);
        let logs = process.logs().join("\n");
        assert!(logs.contains(message), "{message}: {logs}");
    }
}
