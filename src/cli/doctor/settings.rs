//! Checks of the settings, and of the ages of the secrets among them.

use chrono::{DateTime, Utc};

use crate::config::{Config, Mode, Problem};
use crate::finding::{Finding, SECRET_AGE_MAX, age};
use crate::store::DatabaseUrl;

/// The secrets that the service makes codes and tokens with.
const OWN_SECRETS: [(&str, &str); 2] = [("secrets.otp", "OTP_SECRET"), ("secrets.token", "TOKEN_SECRET")];

/// Whether the mode is known, which decides all defaults: the file could be read, and the mode is valid.
pub(super) fn is_usable(problems: &[Problem]) -> bool {
    // Every other problem names a setting; this one a file.
    let is_about_all = |problem: &Problem| {
        ["MODE", "mode", "CONFIG_FILE"].contains(&&*problem.setting) || problem.message.starts_with("cannot be used: ")
    };
    !problems.iter().any(is_about_all)
}

/// One finding for each problem and warning.
pub(super) fn check(config: &Config, problems: &[Problem]) -> Vec<Finding> {
    let id = |problem: &Problem| format!("settings.{}", problem.setting.to_lowercase());
    let mut findings = Vec::new();
    if problems.is_empty() {
        findings.push(Finding::ok("settings", "the configuration is valid"));
    } else {
        let found = format!("`serve` does not start; problems of the configuration: {}", problems.len());
        findings.push(Finding::failure("settings", found, "correct the settings below"));
    }
    findings.extend(
        problems.iter().map(|problem| {
            Finding::failure(id(problem), problem.to_string(), "docs/operations.md#settings-by-purpose")
        }),
    );
    if !is_usable(problems) {
        return findings;
    }
    let mut warnings = [config.warnings.clone(), config.advice()].concat();
    if config.mode == Mode::Production
        && config.migrate_on_start
        && matches!(config.database.url, DatabaseUrl::Postgres(..))
    {
        let message = "is true: with several replicas, an old one that restarts during an upgrade does not start";
        warnings.push(Problem { setting: "MIGRATE_ON_START".to_owned(), message: message.to_owned() });
    }
    findings.extend(
        warnings.iter().map(|problem| {
            Finding::warning(id(problem), problem.to_string(), "docs/operations.md#settings-by-purpose")
        }),
    );
    findings.push(listeners(config));
    findings
}

fn listeners(config: &Config) -> Finding {
    let (api, metrics) = (config.http_addr, config.metrics_addr);
    if api.ip().is_loopback() && metrics.ip().is_loopback() {
        return Finding::ok("settings.listeners", "only this machine can reach the API and the metrics");
    }
    let found = format!(
        "HTTP_ADDR={api} serves plain HTTP and METRICS_ADDR={metrics} needs no credentials: a proxy has to terminate TLS, \
         and a firewall or network policy has to protect both"
    );
    Finding::ok("settings.listeners", found)
}

/// The ages of the secrets that are read from files, and previous secrets that are still accepted.
pub(super) fn secrets(config: &Config, now: DateTime<Utc>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = OWN_SECRETS.iter().map(|(id, name)| own_secret(config, (id, name), now)).collect();
    for (id, name, life) in [
        ("secrets.otp_previous", "OTP_SECRET_PREVIOUS", "CHALLENGE_LIFE_SECONDS"),
        ("secrets.token_previous", "TOKEN_SECRET_PREVIOUS", "TOKEN_LIFETIME_SECONDS"),
    ] {
        findings.push(if config.is_set(name) {
            let remedy = format!("remove it {life} after the rotation (docs/operations.md#secret-rotation)");
            Finding::warning(id, format!("{name} is set, so the previous secret is accepted"), remedy)
        } else {
            Finding::ok(id, "no previous secret is accepted")
        });
    }
    findings
}

fn own_secret(config: &Config, (id, name): (&'static str, &'static str), now: DateTime<Utc>) -> Finding {
    if !config.is_set(name) {
        return Finding::skipped(id, format!("{name} is not set"));
    }
    let Some((_, file)) = config.secret_files.iter().find(|(secret, _)| *secret == name) else {
        return Finding::skipped(id, format!("the age of {name} is unknown, because it is not read from a file"));
    };
    let Ok(written) = std::fs::metadata(file).and_then(|metadata| metadata.modified()) else {
        return Finding::skipped(id, format!("the age of the file of {name} cannot be read"));
    };
    let aged = now - DateTime::<Utc>::from(written);
    let found = format!("the file of {name} was written {} ago", age(aged));
    if aged > SECRET_AGE_MAX {
        Finding::warning(id, found, "rotate the secret (docs/operations.md#secret-rotation)")
    } else {
        Finding::ok(id, found)
    }
}
