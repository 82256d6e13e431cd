//! The settings of every Postgres session, regardless of those of the role, the database and the server.
//!
//! Without a pooler they are start-up options of the connection. Behind a transaction pooler no setting outlives a
//! transaction, so each transaction sets them.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, SqlSafeStr, SqlStr};

use crate::store::pool::patience;
use crate::store::{DatabaseSettings, Result};

/// Session settings that change a statement's result or plan, with the only value that the statements support.
///
/// Settings that cannot change a result are not pinned: the other planner settings, `default_transaction_deferrable`
/// (no effect at read committed), `client_encoding` (sqlx requires UTF8). Neither is `default_transaction_read_only`,
/// with which an operator, or a provider whose disk is full, forbids writes.
const PINNED: [(&str, &str); 17] = [
    // At read committed a statement that waited for a row re-evaluates its condition. At higher levels it fails
    // (40001).
    ("default_transaction_isolation", "read committed"),
    // With `off`, a committed write may be lost when the server crashes.
    ("synchronous_commit", "on"),
    // Finds the tables in the schema of the migrations. A table of the same name in another schema, or a temporary
    // table left by another client of a pooler, must not shadow them.
    ("search_path", "public, pg_temp"),
    // Parsing of literals.
    ("standard_conforming_strings", "on"),
    ("transform_null_equals", "off"),
    ("array_nulls", "on"),
    // Text formats for casts.
    ("DateStyle", "ISO, MDY"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("bytea_output", "hex"),
    // With `off`, statements fail where the operator uses row security.
    ("row_security", "on"),
    // One plan for all partners, but on Citus (`OwnSettings`). Otherwise the first five executions on each connection
    // are planned for their parameters, by statistics that may not contain the partner.
    ("plan_cache_mode", "force_generic_plan"),
    // With `log`, Postgres sends statements with their parameters to the client; sqlx would log them.
    ("client_min_messages", "warning"),
    // Overrides a role's timeouts. `DatabaseSettings::statement_timeout` sets the service's own.
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("idle_session_timeout", "0"),
];

/// The names of all pinned settings.
pub(in crate::store) fn pinned() -> impl Iterator<Item = &'static str> {
    PINNED.iter().map(|(name, _)| *name)
}

/// Options of a connection for migrations, which has no timeouts.
///
/// # Errors
/// When the URL is invalid.
pub(in crate::store) fn migration_options(url: &SecretString) -> Result<PgConnectOptions> {
    Ok(plain_options(url)?.options(PINNED))
}

/// Options of a connection of the service.
///
/// # Errors
/// When the URL is invalid.
pub(in crate::store) fn service_options(url: &SecretString, own: OwnSettings) -> Result<PgConnectOptions> {
    Ok(plain_options(url)?.options(own.with_pinned()))
}

/// Options of a connection to a pooler in transaction mode, which rejects unknown start-up parameters. Floats are
/// transferred in binary, so `extra_float_digits` is not needed.
///
/// # Errors
/// When the URL is invalid.
pub(in crate::store) fn pooled_options(url: &SecretString) -> Result<PgConnectOptions> {
    Ok(plain_options(url)?.extra_float_digits(None))
}

/// Begins a transaction behind a pooler and sets the pinned settings. One text, so one round trip.
#[expect(clippy::disallowed_types, reason = "built from the constants above and two numbers")]
pub(in crate::store) fn pooled_begin(begin: &str, own: OwnSettings) -> SqlStr {
    use sqlx::AssertSqlSafe;
    let set = |(name, value)| format!("set_config('{name}', '{value}', true)");
    let calls: Vec<String> = own.with_pinned().map(set).collect();
    let text = format!("{begin}; set transaction isolation level read committed; select {}", calls.join(", "));
    AssertSqlSafe(Arc::<str>::from(text)).into_sql_str()
}

/// The settings that differ between processes and databases. They replace the pinned ones of the same names.
#[derive(Clone, Copy)]
pub(in crate::store) struct OwnSettings {
    statement_timeout: Duration,
    is_distributed: bool,
}

impl OwnSettings {
    pub(in crate::store) fn of(settings: &DatabaseSettings) -> Self {
        Self { statement_timeout: settings.statement_timeout, is_distributed: settings.is_distributed }
    }

    /// All settings of a session of the service, each once.
    fn with_pinned(self) -> impl Iterator<Item = (&'static str, String)> {
        PINNED.into_iter().map(move |(name, value)| (name, self.value(name).unwrap_or_else(|| value.to_owned())))
    }

    fn value(self, name: &str) -> Option<String> {
        match name {
            "statement_timeout" => Some(self.statement_timeout.as_millis().to_string()),
            // If the network fails without the server noticing, locks are released when the service has given up the
            // transaction.
            "idle_in_transaction_session_timeout" => Some(patience(self.statement_timeout).as_millis().to_string()),
            // Citus cannot make a generic plan of most statements, because the shard depends on the value of a
            // parameter. It then fails instead of planning for the value; with `auto` it does that.
            "plan_cache_mode" if self.is_distributed => Some("auto".to_owned()),
            _ => None,
        }
    }
}

fn plain_options(url: &SecretString) -> Result<PgConnectOptions> {
    Ok(PgConnectOptions::from_str(url.expose_secret())?
        .application_name("device-management")
        .disable_statement_logging())
}
