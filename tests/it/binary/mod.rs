//! End-to-end tests of the executable: start and shutdown, commands, logs and metrics, outages, overload, several
//! replicas, and secrets that must not leak.

mod commands;
mod early_answers;
mod examples;
mod framing;
mod gateway;
mod hosts;
mod log_reader;
mod outage;
mod overload;
mod phone;
mod production;
mod readiness;
mod replicas;
mod secrets;
mod shutdown;
mod sms_commands;
mod start;
mod telemetry;
mod traces;
mod under_load;

use std::time::Duration;

use crate::harness::{Process, Program, TestDatabase};

/// The longest that anything except a start may take on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The sandbox with this database.
pub(crate) fn sandbox_on(database: &TestDatabase) -> Program {
    Program::new().with("DATABASE_URL", database.url())
}

/// Production with this database and all required settings.
pub(crate) fn production_on(database: &TestDatabase) -> Program {
    sandbox_on(database)
        .with("MODE", "production")
        .with("OTP_SECRET", "9b1f0c6de24f4be0a43cb8c1c0a1f2d3")
        .with("TOKEN_SECRET", "4e5d6c7b8a990817263544f3e2d1c0bf")
        .with("SMS_PROVIDERS", "webhook")
        .with("SMS_WEBHOOK_URL", "https://sms.example/send")
        .with("SMS_WEBHOOK_TOKEN", "a-token-for-the-gateway")
        .with("SHUTDOWN_DELAY_SECONDS", "0")
}

/// Runs a command to its end: its exit code and its standard output.
pub(crate) fn run(program: &Program, arguments: &[&str]) -> (i32, Vec<String>) {
    let process = program.start(arguments);
    (exit_code(&process), process.output())
}

/// Waits for the process to exit.
pub(crate) fn exit_code(process: &Process) -> i32 {
    process.wait(PATIENCE).code().expect("the process exits without a signal")
}

/// Runs a command that fails: its exit code and its standard error.
pub(crate) fn fail(program: &Program, arguments: &[&str]) -> (i32, String) {
    let process = program.start(arguments);
    (exit_code(&process), process.logs().join("\n"))
}
