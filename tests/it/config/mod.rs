//! The configuration: settings, their precedence, and the values with which the service refuses to start.

mod database_url;
mod dirt;
mod example;
mod failure_budget;
mod production;
mod sms_rules;
mod sources;
mod traces;

use std::io::Write;

use device_management::config::{Config, Problem, Shown};
use tempfile::NamedTempFile;

/// Loads settings from an environment with these variables only.
fn load(variables: &[(&str, &str)]) -> Result<Config, Vec<Problem>> {
    load_with_file(variables, "")
}

/// The same with a TOML file.
fn load_with_file(variables: &[(&str, &str)], toml: &str) -> Result<Config, Vec<Problem>> {
    Config::load(&variables.iter().copied().collect(), Some(file_with(toml).path()))
}

fn file_with(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

/// Every problem as an operator reads it.
fn problems(variables: &[(&str, &str)], toml: &str) -> Vec<String> {
    let problems = load_with_file(variables, toml).expect_err("these settings must be refused");
    problems.iter().map(ToString::to_string).collect()
}

/// The setting with this name as `config print` shows it.
#[track_caller]
fn shown<'a>(config: &'a Config, name: &str) -> &'a Shown {
    config.shown.iter().find(|shown| shown.name == name).unwrap_or_else(|| panic!("{name} is not a setting"))
}
