//! The configuration: defaults, then an optional TOML file, then the environment.
//!
//! Names are flat: `HTTP_ADDR` in the environment is `http_addr` in the file, and a secret may also be read from the
//! file that `OTP_SECRET_FILE` names. Everything is checked at the start, and all problems are reported together.
//! Settings that are unsafe in production are problems there, not warnings.

mod fraud;
mod parse;
mod secrets;
mod sms;
mod sms_rules;
mod source;
mod text;
mod traces;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::TimeDelta;

pub use self::fraud::FraudSettings;
use self::parse::{address, boolean, claim_name, database_url, from_words, seconds, visible, web_address, whole};
pub use self::secrets::{CodeSettings, TokenSettings};
pub use self::sms::SmsSettings;
pub use self::source::{Environment, Origin, Problem, Shown};
use self::source::{Read, Source};
use crate::api::RequestLimits;
use crate::auth::ExternalIssuerSettings;
use crate::domain::failure_budget::FailureBudget;
use crate::domain::sms::language::Language;
use crate::domain::sms::limits::{PartnerRate, SmsLimits};
use crate::server::Shutdown;
use crate::service::{ActivationNotice, Policy, Retention};
use crate::store::{DatabaseSettings, DatabaseUrl, Pooler, Synchronous, Transport};
use crate::traces::TraceSettings;

/// Which settings are allowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Runs without settings, with public codes and secrets. For development only.
    Sandbox,
    /// Refuses every setting that is only suitable for development.
    Production,
}

/// The format of log lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// All settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// Sandbox or production.
    pub mode: Mode,
    /// The address of the API.
    pub http_addr: SocketAddr,
    /// The address of the metrics listener.
    pub metrics_addr: SocketAddr,
    /// The database.
    pub database: DatabaseSettings,
    /// Whether `serve` applies migrations first.
    pub migrate_on_start: bool,
    /// The format of log lines.
    pub log_format: LogFormat,
    /// The log filter, in the syntax of `RUST_LOG`.
    pub log_filter: String,
    /// Where traces are sent; `None` if they are off.
    pub traces: Option<TraceSettings>,
    /// Limits on requests.
    pub limits: RequestLimits,
    /// The maximum number of open connections.
    pub connections_max: usize,
    /// The graceful shutdown.
    pub shutdown: Shutdown,
    /// How one-time codes are made.
    pub codes: CodeSettings,
    /// How the service's own tokens are signed.
    pub tokens: TokenSettings,
    /// The external issuer whose tokens are accepted as well.
    pub external_issuer: Option<ExternalIssuerSettings>,
    /// Whether the sandbox client, whose secret is public, is enabled.
    pub sandbox_client: bool,
    /// How SMS are sent.
    pub sms: SmsSettings,
    /// How devices are assessed.
    pub fraud: FraudSettings,
    /// The rules of the use cases.
    pub policy: Policy,
    /// Every setting as `config print` shows it.
    pub shown: Vec<Shown>,
    /// Problems that do not prevent the start.
    pub warnings: Vec<Problem>,
    /// The secrets that were read from a file, with that file.
    pub secret_files: Vec<(&'static str, PathBuf)>,
}

impl Config {
    /// Whether a setting has a value: not its default, or a secret that is set.
    #[must_use]
    pub fn is_set(&self, name: &str) -> bool {
        self.shown.iter().any(|shown| shown.name == name && shown.origin != Origin::Default)
    }

    /// Warnings about valid settings.
    #[must_use]
    pub fn advice(&self) -> Vec<Problem> {
        let advice =
            |setting: &str, message: &str| Problem { setting: setting.to_owned(), message: message.to_owned() };
        let mut all = Vec::new();
        let is_sqlite = matches!(self.database.url, DatabaseUrl::Sqlite(_));
        if self.mode == Mode::Sandbox {
            all.push(advice("MODE", "SANDBOX: codes and secrets are public; never use this mode in production"));
            if !self.http_addr.ip().is_loopback() {
                all.push(advice(
                    "HTTP_ADDR",
                    "SANDBOX reachable from other machines; set HTTP_ADDR to a loopback address",
                ));
            }
        } else if is_sqlite {
            let message = "SQLite supports a single process on one machine; use Postgres to run several";
            all.push(advice("DATABASE_URL", message));
        }
        all
    }

    /// Reads and checks the environment and the TOML file: `file`, or else the one that `CONFIG_FILE` names.
    ///
    /// # Errors
    /// All problems, each naming its setting.
    pub fn load(environment: &Environment, file: Option<&Path>) -> Result<Self, Vec<Problem>> {
        let (config, problems) = Self::read(environment, file);
        if problems.is_empty() { Ok(config) } else { Err(problems) }
    }

    /// The same, with the default in place of each invalid setting. Only for `doctor`, which checks what it can.
    #[must_use]
    pub fn read(environment: &Environment, file: Option<&Path>) -> (Self, Vec<Problem>) {
        let mut source = Source::new(environment, file);
        let s = &mut source;
        let mode = s.value("MODE", "sandbox", |text| match text {
            "sandbox" => Ok(Mode::Sandbox),
            "production" => Ok(Mode::Production),
            _ => Err("must be sandbox or production"),
        });
        if s.is_empty_variable("MODE") {
            // A deployment that lost the value of MODE must not fall back to the sandbox.
            s.problem("MODE", "must not be empty: sandbox or production, or leave it out");
        }
        let (log_format, shutdown_delay) = match mode {
            Mode::Sandbox => ("text", "0"),
            Mode::Production => ("json", "5"),
        };
        let config = Self {
            mode,
            http_addr: s.value("HTTP_ADDR", "127.0.0.1:8080", address),
            metrics_addr: s.value("METRICS_ADDR", "127.0.0.1:9464", address),
            database: database(s, mode),
            migrate_on_start: s.value("MIGRATE_ON_START", "true", boolean),
            log_format: s.value("LOG_FORMAT", log_format, |text| match text {
                "text" => Ok(LogFormat::Text),
                "json" => Ok(LogFormat::Json),
                _ => Err("must be text or json"),
            }),
            log_filter: s.value("RUST_LOG", "info", log_filter),
            traces: traces::settings(s, mode),
            limits: request_limits(s),
            connections_max: s.value("CONNECTIONS_MAX", "4096", whole(1..=1_000_000)),
            shutdown: Shutdown {
                delay: s.value("SHUTDOWN_DELAY_SECONDS", shutdown_delay, seconds(0..=60)),
                deadline: s.value("SHUTDOWN_DEADLINE_SECONDS", "25", seconds(1..=300)),
            },
            codes: secrets::codes(s, mode),
            tokens: secrets::tokens(s, mode),
            external_issuer: external_issuer(s, mode),
            sandbox_client: sandbox_client(s, mode),
            sms: sms::settings(s, mode),
            fraud: fraud::settings(s, mode),
            policy: policy(s, mode),
            shown: Vec::new(),
            warnings: Vec::new(),
            secret_files: Vec::new(),
        };
        if mode == Mode::Production {
            s.check_that_secrets_differ();
        }
        check_deadlines(s, &config);
        check_pooler(s, &config);
        let Read { shown, problems, warnings, secret_files } = source.finish();
        (Self { shown, warnings, secret_files, ..config }, problems)
    }
}

/// With a request deadline below the providers' timeouts, clients would retry while a provider still accepts the
/// message: the person would get two codes of which one works. The sandbox allows it, for experiments.
fn check_deadlines(s: &mut Source<'_>, config: &Config) {
    let wait = config.sms.wait_max() + config.fraud.wait_max();
    if config.mode == Mode::Production && config.limits.deadline <= wait {
        let seconds = wait.as_secs_f64();
        let message = format!("must be above {seconds}: SMS_TIMEOUT_MS for each provider, and SEON_TIMEOUT_MS");
        s.problem("REQUEST_DEADLINE_SECONDS", message);
    }
}

/// Refuses settings that a pooler in transaction mode does not support.
fn check_pooler(s: &mut Source<'_>, config: &Config) {
    if config.database.pooler == Pooler::None {
        return;
    }
    if matches!(config.database.url, DatabaseUrl::Sqlite(_)) {
        s.problem("DATABASE_POOLER", "must be none with SQLite");
    }
    if config.migrate_on_start {
        let message = "must be false with DATABASE_POOLER=transaction: run `device-management migrate` with a \
                       DATABASE_URL that bypasses the pooler";
        s.problem("MIGRATE_ON_START", message);
    }
}

fn database(s: &mut Source<'_>, mode: Mode) -> DatabaseSettings {
    const NAME: &str = "DATABASE_URL";
    const DEFAULT: &str = "sqlite://device-management.db";
    // The URL may contain a password, so it is read and shown like a secret.
    let text = s.secret_or(NAME, DEFAULT);
    let url = database_url(&text).unwrap_or_else(|message| {
        s.problem(NAME, message);
        DatabaseUrl::Sqlite(DEFAULT.into())
    });
    if mode == Mode::Production {
        if !s.is_set(NAME) && !s.has_problem("DATABASE_URL_FILE") {
            s.problem(NAME, "is required in production: postgres://user:password@host/database, or sqlite://file");
        }
        match url.transport() {
            Transport::Local | Transport::Verified => {}
            Transport::Encrypted => {
                s.warning(NAME, "does not verify the server's identity: use sslmode=verify-full");
            }
            Transport::Open => {
                let message = "must have sslmode=verify-full in production, unless its host is loopback or a socket: without \
                               it the connection may be unencrypted";
                s.problem(NAME, message);
            }
        }
    }
    let pooler = s.value("DATABASE_POOLER", "none", |text| match text {
        "none" => Ok(Pooler::None),
        "transaction" => Ok(Pooler::Transaction),
        _ => Err("must be none or transaction"),
    });
    DatabaseSettings {
        pooler,
        sqlite_synchronous: sqlite_synchronous(s, mode),
        url_file: s.file_of(NAME),
        max_connections: s.value("DATABASE_MAX_CONNECTIONS", "10", whole(1..=1000)),
        acquire_timeout: s.value("DATABASE_ACQUIRE_TIMEOUT_SECONDS", "2", seconds(1..=60)),
        statement_timeout: s.value("DATABASE_STATEMENT_TIMEOUT_SECONDS", "5", seconds(1..=60)),
        migrate_lock_timeout: s.value("MIGRATE_LOCK_TIMEOUT_SECONDS", "60", seconds(1..=3600)),
        ..DatabaseSettings::new(url)
    }
}

/// The sandbox does not wait for the disk at each commit, so that test suites run faster.
fn sqlite_synchronous(s: &mut Source<'_>, mode: Mode) -> Synchronous {
    const NAME: &str = "SQLITE_SYNCHRONOUS";
    let default = if mode == Mode::Sandbox { "normal" } else { "full" };
    let synchronous = s.value(NAME, default, |text| match text {
        "full" => Ok(Synchronous::Full),
        "normal" => Ok(Synchronous::Normal),
        _ => Err("must be full or normal"),
    });
    if synchronous == Synchronous::Normal && mode == Mode::Production {
        s.problem(NAME, "must be full in production: a power failure would lose answered requests");
    }
    synchronous
}

fn request_limits(s: &mut Source<'_>) -> RequestLimits {
    const TOTAL: &str = "REQUEST_BODIES_TOTAL_BYTES";
    let limits = RequestLimits {
        body_bytes: s.value("REQUEST_BODY_LIMIT_BYTES", "524288", whole(1024..=16 * 1024 * 1024)),
        deadline: s.value("REQUEST_DEADLINE_SECONDS", "15", seconds(1..=300)),
        requests_at_once: s.value("REQUESTS_AT_ONCE", "512", whole(1..=100_000)),
        bodies_total_bytes: s.value(TOTAL, "134217728", whole(1024..=64 * 1024 * 1024 * 1024)),
    };
    if limits.bodies_total_bytes < limits.body_bytes {
        s.problem(TOTAL, "must be at least REQUEST_BODY_LIMIT_BYTES: otherwise the largest bodies are never accepted");
    }
    limits
}

fn policy(s: &mut Source<'_>, mode: Mode) -> Policy {
    Policy {
        device_limit: s.value("LIMIT_DEVICES_PER_PERSON", "5", whole(1..=100)),
        open_device_challenges_limit: s.value("LIMIT_OPEN_DEVICE_CHALLENGES", "20", whole(1..=1000)),
        approvals_require_restricted_keys: s.value("APPROVALS_REQUIRE_RESTRICTED_KEYS", "false", boolean),
        key_limit: s.value("LIMIT_KEYS_PER_DEVICE", "10", whole(1..=100)),
        failure_budget: failure_budget(s, mode),
        wrong_signatures_cap: s.value("LIMIT_WRONG_SIGNATURES", "3", whole(1..=10)),
        sms_enforcement: sms_rules::enforcement(s, mode),
        sms_limits: SmsLimits {
            per_number: s.value("LIMIT_SMS_PER_NUMBER", "1/30s,5/10m,60/1h", str::parse),
            per_person: s.value("LIMIT_SMS_PER_PERSON", "1/30s,5/10m,60/1h", str::parse),
            per_partner: PartnerRate {
                per_second: s.value("LIMIT_SMS_PER_PARTNER_PER_SECOND", "60", whole(1..=10_000)),
                burst: s.value("LIMIT_SMS_PER_PARTNER_BURST", "600", whole(1..=100_000)),
            },
        },
        retention: retention(s),
        challenge_life: delta(s.value("CHALLENGE_LIFE_SECONDS", "300", seconds(30..=600))),
        activation_code_life: TimeDelta::days(s.value("ACTIVATION_CODE_LIFE_DAYS", "30", whole::<u16>(1..=365)).into()),
        activation_notice: s.value("ACTIVATION_NOTICE", "sms", from_words(ActivationNotice::parse, "sms or none")),
        language: s.value("SMS_LANGUAGE", "de", from_words(Language::parse, "de, en or fr")),
        sms_countries: s.value("SMS_COUNTRIES", sms_rules::DEFAULT_COUNTRIES, sms_rules::countries),
        sms_conversion: sms_rules::conversion(s),
    }
}

fn failure_budget(s: &mut Source<'_>, mode: Mode) -> FailureBudget {
    const COOL_DOWN: &str = "COOL_DOWN_SECONDS";
    // Tests against the sandbox use up the budget and wait for the window to end.
    let window_min = if mode == Mode::Production { 60 } else { 1 };
    let budget = FailureBudget {
        cap: s.value("LIMIT_FAILURES_PER_PERSON", "5", whole(1..=100)),
        window: delta(s.value("FAILURE_WINDOW_SECONDS", "1800", seconds(window_min..=86_400))),
        cool_down: delta(s.value(COOL_DOWN, "1800", seconds(1..=86_400))),
    };
    if budget.cool_down < budget.window {
        let message = "must be at least FAILURE_WINDOW_SECONDS: otherwise a window of that length can contain more failures \
                       than LIMIT_FAILURES_PER_PERSON";
        s.problem(COOL_DOWN, message);
    }
    budget
}

fn retention(s: &mut Source<'_>) -> Retention {
    let mut days = |name| {
        let days: u16 = s.value(name, "400", whole(0..=36_500));
        (days > 0).then(|| TimeDelta::days(days.into()))
    };
    let assessments = days("FRAUD_ASSESSMENT_RETENTION_DAYS");
    let approval_texts = days("APPROVAL_TEXT_RETENTION_DAYS");
    Retention {
        challenges: delta(s.value("CHALLENGE_RETENTION_SECONDS", "86400", seconds(0..=31_536_000))),
        assessments,
        approval_texts,
    }
}

fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).expect("a day fits")
}

fn external_issuer(s: &mut Source<'_>, mode: Mode) -> Option<ExternalIssuerSettings> {
    let issuer = s.optional("EXTERNAL_ISSUER", web_address(mode));
    let audience = s.optional("EXTERNAL_AUDIENCE", visible);
    let jwks_url = s.optional("EXTERNAL_JWKS_URL", web_address(mode));
    let partner_claim = s.value("EXTERNAL_PARTNER_CLAIM", "partner", claim_name);
    let issuer = issuer?;
    let Some(audience) = audience else {
        s.problem(
            "EXTERNAL_AUDIENCE",
            "is required with EXTERNAL_ISSUER: tokens issued for other services must be rejected",
        );
        return None;
    };
    Some(ExternalIssuerSettings { issuer, audience, jwks_url, partner_claim })
}

fn sandbox_client(s: &mut Source<'_>, mode: Mode) -> bool {
    let default = if mode == Mode::Sandbox { "true" } else { "false" };
    let enabled = s.value("SANDBOX_CLIENT", default, boolean);
    if enabled && mode == Mode::Production {
        s.problem("SANDBOX_CLIENT", "must be false in production: its secret is public");
    }
    enabled
}

fn log_filter(text: &str) -> Result<String, String> {
    match tracing_subscriber::EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("is not a log filter: {error}")),
    }
}
