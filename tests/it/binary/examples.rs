//! The scripts in `examples/` and the shell steps of README.md and docs/sandbox.md, run against the executable.

use std::path::Path;
use std::process::Command;

use super::{PATIENCE, exit_code, sandbox_on};
use crate::harness::{Process, Program, Service, TestDatabase, on_both_databases};

on_both_databases![
    the_example_of_the_api_reference_can_run_twice,
    approve_sh_binds_a_device_approves_a_payment_and_declines_another,
    the_steps_of_the_readme_can_run_twice,
    the_steps_of_the_sandbox_page_can_be_pasted,
];

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

async fn approve_sh_binds_a_device_approves_a_payment_and_declines_another(database: TestDatabase) {
    let service = sandbox_on(&database).with("SANDBOX_OTP", "random").serve();
    let output = assert_succeeds(example("approve.sh", &service));
    let bound = ["200", "201", "202", "200", "204"];
    let logged_in_and_approved = ["201", "204", "201", "200"];
    let declined_and_deleted = ["201", "201", "204", "200", "200", "204"];
    assert_eq!(statuses(&output), [&bound[..], &logged_in_and_approved, &declined_and_deleted].concat());
    assert!(output.iter().any(|line| line == "    payee: Müller GmbH"), "{output:#?}");
}

async fn the_steps_of_the_readme_can_run_twice(database: TestDatabase) {
    let program = sandbox_on(&database);
    let service = program.serve();
    let readme = include_str!("../../../README.md");
    let steps = steps(readme, "\n## Bind a device with curl\n", "\n## Example scripts\n");
    assert!(steps.contains(" cargo run -q -- phone "), "the software phone");
    for _ in 0..2 {
        let process = paste(&steps, &program, &service);
        // The steps that keep an answer in a variable also print it to the standard error.
        let (output, copies) = (process.output(), process.logs());
        let expected = ["201", "204", "200", "204", "204", "204", "200", "204", "200"];
        assert_eq!(bracketed_statuses(&output), expected, "{output:#?}");
        assert_eq!(bracketed_statuses(&copies), ["202", "202", "201", "201"], "{copies:#?}");
        assert!(output.iter().any(|line| line == "payee: Example Shop"), "{output:#?}");
    }
}

async fn the_steps_of_the_sandbox_page_can_be_pasted(database: TestDatabase) {
    let program = sandbox_on(&database);
    let service = program.serve();
    let page = include_str!("../../../docs/sandbox.md");
    let steps = steps(page, "\nThe examples on this page", "\n## Diagnoses\n");
    let output = paste(&steps, &program, &service).output();
    let expected = ["201", "201", "200", "200", "200", "200", "201", "502", "403"];
    assert_eq!(bracketed_statuses(&output), expected, "{output:#?}");
    assert!(output.iter().any(|line| line.contains("\"advanced_seconds\":301")), "{output:#?}");
    service.wait_for_log("sandbox clock advanced", PATIENCE);
}

/// The shell blocks of a page between two texts.
fn steps(page: &str, from: &str, to: &str) -> String {
    let (_, rest) = page.split_once(from).expect("the first section");
    let (sections, _) = rest.split_once(to).expect("the section after the last one");
    sections.split("\n```sh\n").skip(1).filter_map(|block| block.split("\n```").next()).collect::<Vec<_>>().join("\n")
}

/// Runs the steps of a page in one shell, with the executable in place of `cargo run`.
#[track_caller]
fn paste(steps: &str, program: &Program, service: &Service) -> Process {
    let steps = steps.replace("http://127.0.0.1:8080", &service.base_url());
    let steps = steps.replace("cargo run -q --", env!("CARGO_BIN_EXE_device-management"));
    let mut shell = Command::new("sh");
    shell.args(["-eu", "-c", &steps]).current_dir(program.folder()).env("no_proxy", "*");
    let process = Process::start(&mut shell);
    assert_eq!(exit_code(&process), 0, "{}", process.logs().join("\n"));
    process
}

/// The statuses that the steps of a page print in brackets.
fn bracketed_statuses(lines: &[String]) -> Vec<String> {
    let status = |line: &String| Some(line.rsplit_once('[')?.1.strip_suffix(']')?.to_owned());
    lines.iter().filter(|line| line.ends_with(']')).filter_map(status).filter(|it| it.len() == 3).collect()
}

#[test]
fn a_failed_step_ends_the_script_with_a_message() {
    let random = Program::new().with("SANDBOX_OTP", "random").serve();
    let mut wrong_secret = example("bind.sh", &random);
    wrong_secret.env("CLIENT_SECRET", "wrong");
    let mut unreachable = example("bind.sh", &random);
    unreachable.env("BASE_URL", "http://127.0.0.1:1");
    let mut wrong_secret_of_approve = example("approve.sh", &random);
    wrong_secret_of_approve.env("CLIENT_SECRET", "wrong");
    for (mut script, message) in [
        (example("bind.sh", &random), "bind.sh: expected 204, got 403: {\"errors\""),
        (wrong_secret, "bind.sh: expected 200, got 401: {\"error\":\"invalid_client\""),
        (unreachable, "bind.sh: no answer from http://127.0.0.1:1: is the service running there?"),
        (wrong_secret_of_approve, "401 POST /oauth2/token: invalid_client"),
    ] {
        let process = Process::start(&mut script);
        assert_ne!(exit_code(&process), 0);
        let logs = process.logs().join("\n");
        assert!(logs.contains(message), "{message}: {logs}");
    }
}
