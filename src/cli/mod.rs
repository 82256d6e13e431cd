//! The command line; the default command is `serve`. Data goes to standard output, logs and errors to standard error.

mod audit;
mod doctor;
mod person;
mod phone;
mod sms;

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use chrono::{SecondsFormat, TimeDelta};
use clap::{Parser, Subcommand};
use secrecy::ExposeSecret;
use tokio::net::TcpListener;

use audit::AuditCommand;
use doctor::Format;
use person::PersonCommand;
use phone::Phone;
use sms::SmsCommand;

use crate::app::{Surroundings, assemble};
use crate::clock::SystemClock;
use crate::config::{Config, Environment, Mode, Origin, Problem};
use crate::domain::clients::{Permission, Permissions};
use crate::domain::person::PartnerId;
use crate::entropy::SystemEntropy;
use crate::server::{self, Listeners, StopSignals};
use crate::service::{ClientRegistry, NewSecret};
use crate::store::{self, DatabaseUrl, Pooler, Store, Synchronous};
use crate::telemetry;

/// Binds phones to persons and later verifies which device signed.
#[derive(Parser, Debug)]
#[command(version, about)]
pub struct Cli {
    /// TOML file with settings; environment variables override it
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand, Debug)]
enum Command {
    #[command(flatten)]
    Configured(Configured),
    /// Check the installation and say what to do; changes nothing
    Doctor {
        /// The form of the report
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    Phone(Phone),
}

// The commands that read the configuration. (A doc comment here would replace that of the program in the help.)
#[derive(Subcommand, Debug)]
enum Configured {
    /// Serve the API (the default)
    Serve,
    /// Apply pending database migrations
    Migrate,
    /// Create, list, rotate and revoke clients
    #[command(subcommand)]
    Client(ClientCommand),
    /// Verify or export the audit trail
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Erase a person
    #[command(subcommand)]
    Person(PersonCommand),
    /// Show SMS conversion and resume stopped sending
    #[command(subcommand)]
    Sms(SmsCommand),
    /// Check or print the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Query the running service's readiness; for container health checks
    Healthcheck,
}

#[derive(Subcommand, Debug)]
enum ClientCommand {
    /// Create a client; its secret is shown once
    Create {
        /// The partner (tenant) whose data the client can access: 1 to 64 of a-z 0-9 - _
        #[arg(long)]
        partner: String,
        /// A display name
        #[arg(long)]
        name: Option<String>,
        /// An additional permission: numbers:assert
        #[arg(long = "permission", value_name = "PERMISSION")]
        permissions: Vec<String>,
    },
    /// List all clients
    List,
    /// Give a client a new secret; the previous one stays valid for a while
    Rotate {
        /// The client's id
        id: String,
        /// For how many hours the previous secret stays valid
        #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u16).range(0..=720))]
        overlap_hours: u16,
    },
    /// Revoke a client: it gets no new tokens; its existing tokens stay valid until they expire
    Revoke {
        /// The client's id
        id: String,
    },
}

#[derive(Subcommand, Debug)]
enum ConfigCommand {
    /// Check whether the service would start with this configuration
    Check,
    /// Print every setting; secrets only as set or not
    Print,
}

/// Runs the command. The exit code is 2 for an invalid configuration, 1 for any other failure.
pub async fn run(cli: Cli) -> ExitCode {
    let command = match cli.command {
        Some(Command::Phone(phone)) => return exit_code(phone::run(phone)),
        Some(Command::Doctor { format }) => return doctor::run(&environment(), cli.config.as_deref(), format).await,
        Some(Command::Configured(command)) => command,
        None => Configured::Serve,
    };
    let config = match Config::load(&environment(), cli.config.as_deref()) {
        Ok(config) => config,
        Err(problems) => {
            let _ = writeln!(io::stderr(), "the configuration is invalid:");
            for problem in problems {
                let _ = writeln!(io::stderr(), "  {problem}");
            }
            return ExitCode::from(2);
        }
    };
    let done = match command {
        Configured::Serve => return serve(config).await,
        Configured::Migrate => migrate(&config).await,
        Configured::Client(command) => client(&config, command).await,
        Configured::Audit(command) => audit::run(&config, command).await,
        Configured::Person(command) => person::run(&config, command).await,
        Configured::Sms(command) => sms::run(&config, command).await,
        Configured::Config(ConfigCommand::Check) => check_config(&config),
        Configured::Config(ConfigCommand::Print) => print_config(&config),
        Configured::Healthcheck => healthcheck(&config).await,
    };
    exit_code(done)
}

fn exit_code(done: anyhow::Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "device-management: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the only place that reads environment variables, for the configuration")]
fn environment() -> Environment {
    std::env::vars_os().collect()
}

fn say(text: impl std::fmt::Display) -> anyhow::Result<()> {
    writeln!(io::stdout(), "{text}").context("standard output is closed")
}

/// Serves until a stop signal. A failure is reported through the log queue: a stalled log reader must not block the
/// exit.
async fn serve(config: Config) -> ExitCode {
    let log = match telemetry::install_log(config.log_format, &config.log_filter) {
        Ok(log) => log,
        Err(error) => {
            let _ = writeln!(io::stderr(), "device-management: the log cannot be written: {error}");
            return ExitCode::FAILURE;
        }
    };
    let done = serve_until_stopped(config).await;
    if let Err(error) = &done {
        log.line(&format!("device-management: {error:#}"));
    }
    log.finish();
    if done.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn serve_until_stopped(config: Config) -> anyhow::Result<()> {
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let metrics = telemetry::install_metrics()?;
    if config.migrate_on_start {
        store::migrate(&config.database).await.context("the database could not be migrated")?;
    }
    let store = open_store(&config).await?;
    let app = assemble(&config, Surroundings::real(store))?;
    let http = listen("HTTP_ADDR", config.http_addr).await?;
    let listeners = Listeners { http, metrics: listen("METRICS_ADDR", config.metrics_addr).await? };
    let http_addr = listeners.http.local_addr()?;
    let signals = StopSignals::catch()?;
    tracing::info!(http.addr = %http_addr, metrics.addr = %listeners.metrics.local_addr()?, mode = ?config.mode, "listening");
    warn_about_mode(&config, http_addr);
    if server::serve(listeners, app, metrics, config.connections_max, signals, config.shutdown).await {
        Ok(())
    } else {
        Err(anyhow!("requests were still running when the shutdown deadline passed"))
    }
}

async fn listen(setting: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {setting}={address}"))
}

fn warn_about_mode(config: &Config, http_addr: SocketAddr) {
    for Problem { message, .. } in config.advice() {
        tracing::warn!("{message}");
    }
    if config.mode == Mode::Production {
        return;
    }
    if matches!(config.database.url, DatabaseUrl::Sqlite(_))
        && config.database.sqlite_synchronous == Synchronous::Normal
    {
        tracing::info!("SQLite does not wait for the disk at a commit: a power failure can lose the last changes");
    }
    if config.sandbox_client {
        tracing::warn!(
            "get a token: curl -u sandbox:sandbox -d grant_type=client_credentials http://{http_addr}/oauth2/token"
        );
    }
}

async fn migrate(config: &Config) -> anyhow::Result<()> {
    ensure!(
        config.database.pooler == Pooler::None,
        "migrations hold a session lock: use a DATABASE_URL that bypasses the pooler, and DATABASE_POOLER=none"
    );
    // A migration that waits for a lock logs it.
    let log = telemetry::install_log(config.log_format, &config.log_filter).context("the log cannot be written")?;
    let done = store::migrate(&config.database).await.context("the database could not be migrated");
    log.finish();
    done?;
    say("the database is up to date")
}

/// Opens a command's database, which must be fully migrated.
async fn open_store(config: &Config) -> anyhow::Result<Arc<dyn Store>> {
    let store = store::connect(&config.database).await.context("the database could not be opened")?;
    store.ready().await?;
    Ok(store)
}

async fn client(config: &Config, command: ClientCommand) -> anyhow::Result<()> {
    let store = open_store(config).await?;
    let clients = ClientRegistry { store: &*store, clock: &SystemClock, entropy: &SystemEntropy };
    let done = match command {
        ClientCommand::Create { partner, name, permissions } => {
            let partner = PartnerId::parse(&partner)
                .ok_or_else(|| anyhow!("--partner must be 1 to 64 characters of a-z 0-9 - _"))?;
            if name.as_deref().is_some_and(|name| name.chars().any(char::is_control)) {
                bail!("--name must not contain control characters");
            }
            show_secret(&clients.create(partner, name, parse_permissions(&permissions)?).await?)
        }
        ClientCommand::List => list_clients(&clients).await,
        ClientCommand::Rotate { id, overlap_hours } => {
            let rotated = clients.rotate(&id, TimeDelta::hours(overlap_hours.into())).await?;
            show_secret(&rotated.ok_or_else(|| anyhow!("there is no client {id}, or it is revoked"))?)
        }
        ClientCommand::Revoke { id } => {
            if !clients.revoke(&id).await? {
                bail!("there is no client {id}, or it is revoked already");
            }
            let minutes = config.tokens.lifetime.num_minutes() + 1;
            say(format!("{id} is revoked; its existing tokens expire within {minutes} minutes"))
        }
    };
    store.close().await;
    done
}

fn parse_permissions(words: &[String]) -> anyhow::Result<Permissions> {
    words
        .iter()
        .map(|word| Permission::parse(word).ok_or_else(|| anyhow!("there is no permission {word}; try numbers:assert")))
        .collect()
}

fn show_secret(new: &NewSecret) -> anyhow::Result<()> {
    say(format!("client_id={}\nclient_secret={}", new.client_id, new.secret.expose_secret()))
}

async fn list_clients(clients: &ClientRegistry<'_>) -> anyhow::Result<()> {
    say("client_id\tpartner\tname\tpermissions\tcreated_at\trevoked_at")?;
    let instant = |at: chrono::DateTime<chrono::Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let mut page = clients.page(None).await?;
    while let Some(last) = page.last().cloned() {
        for client in page {
            say([
                client.id,
                client.partner.to_string(),
                client.name.unwrap_or_default(),
                client.permissions.to_words(),
                instant(client.created_at),
                client.revoked_at.map(instant).unwrap_or_default(),
            ]
            .join("\t"))?;
        }
        page = clients.page(Some(&last)).await?;
    }
    Ok(())
}

fn check_config(config: &Config) -> anyhow::Result<()> {
    for warning in &config.warnings {
        let _ = writeln!(io::stderr(), "warning: {warning}");
    }
    say("the configuration is valid")
}

fn print_config(config: &Config) -> anyhow::Result<()> {
    for setting in &config.shown {
        let origin = match setting.origin {
            Origin::Default => "default",
            Origin::File => "file",
            Origin::Environment => "environment",
        };
        say(format!("{}={} ({origin})", setting.name, setting.value.as_deref().unwrap_or("")))?;
    }
    Ok(())
}

/// Uses the loopback address when the service listens on all interfaces.
async fn healthcheck(config: &Config) -> anyhow::Result<()> {
    let mut address = config.http_addr;
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    let request = crate::outbound::client()?.get(format!("http://{address}/readyz")).timeout(Duration::from_secs(3));
    let status = request.send().await.map_err(reqwest::Error::without_url)?.status();
    if status.is_success() { say("ready") } else { Err(anyhow!("not ready: status {status}")) }
}
