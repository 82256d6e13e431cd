//! `doctor`: checks an installation, with what to do for each finding.
//!
//! Changes nothing: the database is read in read-only transactions, and no provider gets a request that has an effect.
//! A failed check never hides another one: an invalid setting is a finding, and the checks that do not depend on it run.

mod providers;
mod settings;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::ValueEnum;
use serde::Serialize;

use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Environment, Mode, Problem};
use crate::finding::{Finding, Status};
use crate::store::{DatabaseUrl, Inspection, Transport};

/// The form of the report.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Format {
    /// A line for each check, for people.
    Text,
    /// One JSON object.
    Json,
}

/// The report. Its JSON form is documented in `docs/operations.md#doctor`.
#[derive(Serialize)]
struct Report {
    version: &'static str,
    /// Absent if it cannot be known.
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<&'static str>,
    checks: Vec<Finding>,
    summary: Summary,
}

#[derive(Serialize)]
struct Summary {
    ok: usize,
    warning: usize,
    failure: usize,
    skipped: usize,
}

/// Runs all checks and prints the report. The exit code is 0 without a failure, 1 with one, and 2 if the configuration
/// could not be read, so that nothing else was checked.
pub(super) async fn run(environment: &Environment, file: Option<&Path>, format: Format) -> ExitCode {
    let (config, problems) = Config::read(environment, file);
    let is_usable = settings::is_usable(&problems);
    let mut checks = settings::check(&config, &problems);
    if is_usable {
        let now = SystemClock.now();
        checks.extend(settings::secrets(&config, now));
        let (database, providers) = tokio::join!(database(&config, &problems), providers::check(&config, &problems));
        checks.extend(database);
        checks.extend(providers);
    } else {
        checks.push(Finding::skipped("database.connection", "the configuration cannot be used"));
    }
    let count = |status| checks.iter().filter(|check| check.status == status).count();
    let summary = Summary {
        ok: count(Status::Ok),
        warning: count(Status::Warning),
        failure: count(Status::Failure),
        skipped: count(Status::Skipped),
    };
    let mode = is_usable.then_some(match config.mode {
        Mode::Sandbox => "sandbox",
        Mode::Production => "production",
    });
    let failures = summary.failure;
    let report = Report { version: env!("CARGO_PKG_VERSION"), mode, checks, summary };
    let printed = match format {
        Format::Text => print_text(&report),
        Format::Json => print_json(&report),
    };
    match (is_usable, failures, printed) {
        (false, ..) => ExitCode::from(2),
        (true, 0, Ok(())) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// A database whose URL is invalid, or that the service would refuse to reach without encryption, is not reached.
async fn database(config: &Config, problems: &[Problem]) -> Vec<Finding> {
    let settings = &config.database;
    let is_refused = problems.iter().any(|problem| problem.setting.starts_with("DATABASE_URL"));
    let is_open = settings.url.transport() == Transport::Open && config.mode == Mode::Production;
    if is_refused && (is_open || matches!(settings.url, DatabaseUrl::Sqlite(_))) {
        return Inspection::skipped(&settings.url, "DATABASE_URL is invalid");
    }
    let inspection = Inspection {
        settings: settings.clone(),
        migrates_on_start: config.migrate_on_start,
        has_other_callers: config.sandbox_client || config.external_issuer.is_some(),
        now: || SystemClock.now(),
    };
    inspection.run().await
}

fn print_json(report: &Report) -> io::Result<()> {
    let text = serde_json::to_string_pretty(report).map_err(io::Error::other)?;
    writeln!(io::stdout(), "{text}")
}

fn print_text(report: &Report) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "device-management {}, {}", report.version, report.mode.unwrap_or("mode unknown"))?;
    for Finding { id, status, found, remedy } in &report.checks {
        writeln!(out, "{:<8} {id:<28} {found}", status.as_str())?;
        if let Some(remedy) = remedy {
            writeln!(out, "{:<8} {:<28} -> {remedy}", "", "")?;
        }
    }
    let Summary { ok, warning, failure, skipped } = report.summary;
    writeln!(out, "{ok} ok, {warning} warnings, {failure} failures, {skipped} skipped")
}
