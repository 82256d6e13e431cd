//! What holds for every session with Postgres, whatever the role's, the database's or the server's settings say.
//!
//! With a server process of its own, a connection says so once, in the options that it starts with. Behind a pooler nothing
//! outlives a transaction, so each transaction begins with it.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, SqlSafeStr, SqlStr};

use crate::store::Result;
use crate::store::pool::patience;

/// Settings of the session that change what a statement does or how it is planned, and the only value that the statements are
/// written for.
///
/// Not here is what cannot change an outcome: the planner's other settings, `default_transaction_deferrable` (read committed
/// ignores it), `client_encoding` (sqlx demands UTF8 of each connection). Not here either is
/// `default_transaction_read_only`: it is how an operator, or a provider whose disk runs full, forbids writes.
const PINNED: [(&str, &str); 17] = [
    // Statements wait for each other's rows and look again. Above read committed they fail instead (40001).
    ("default_transaction_isolation", "read committed"),
    // An answered write survives a crash of the server; with `off` it does not.
    ("synchronous_commit", "on"),
    // The tables are found where the migrations made them. A table of the same name in another schema, or a temporary one
    // that another client of a pooler left behind, is not taken for ours.
    ("search_path", "public, pg_temp"),
    // How literals in statements are read.
    ("standard_conforming_strings", "on"),
    ("transform_null_equals", "off"),
    ("array_nulls", "on"),
    // How values that are cast to and from text look.
    ("DateStyle", "ISO, MDY"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("bytea_output", "hex"),
    // With `off` statements fail where the operator uses row security.
    ("row_security", "on"),
    // A statement has one plan for all partners. Otherwise the first five executions on each connection are planned for their
    // parameters, and go by what the statistics say of a partner that they may not know.
    ("plan_cache_mode", "force_generic_plan"),
    // With `log`, Postgres sends statements and what they were called with; sqlx would log them.
    ("client_min_messages", "warning"),
    // A role's time limits are not ours: see `DatabaseSettings::statement_timeout` for those.
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("idle_session_timeout", "0"),
];

/// The names of all settings that are pinned.
pub(in crate::store) fn pinned() -> impl Iterator<Item = &'static str> {
    PINNED.iter().map(|(name, _)| *name)
}

/// How a connection is opened that migrates: without a time limit.
///
/// # Errors
/// When the URL is none.
pub(in crate::store) fn migration_options(url: &SecretString) -> Result<PgConnectOptions> {
    Ok(plain_options(url)?.options(PINNED))
}

/// How a connection of the service is opened.
///
/// # Errors
/// When the URL is none.
pub(in crate::store) fn service_options(url: &SecretString, statement_timeout: Duration) -> Result<PgConnectOptions> {
    Ok(migration_options(url)?.options(time_limits(statement_timeout)))
}

/// How a connection to a pooler in transaction mode is opened: it refuses what it cannot keep apart for each client. Floats
/// come in binary, so their digits do not matter.
///
/// # Errors
/// When the URL is none.
pub(in crate::store) fn pooled_options(url: &SecretString) -> Result<PgConnectOptions> {
    Ok(plain_options(url)?.extra_float_digits(None))
}

/// How each transaction begins behind a pooler, with what it begins with anyway. One text, so one round trip.
#[expect(clippy::disallowed_types, reason = "made of the constants above and two numbers")]
pub(in crate::store) fn pooled_begin(begin: &str, statement_timeout: Duration) -> SqlStr {
    use sqlx::AssertSqlSafe;
    let pinned = PINNED.map(|(name, value)| (name, value.to_owned()));
    let settings = pinned.into_iter().chain(time_limits(statement_timeout));
    let calls: Vec<String> = settings.map(|(name, value)| format!("set_config('{name}', '{value}', true)")).collect();
    let text = format!("{begin}; set transaction isolation level read committed; select {}", calls.join(", "));
    AssertSqlSafe(Arc::<str>::from(text)).into_sql_str()
}

/// Set after the pinned ones, and so in their place.
fn time_limits(statement_timeout: Duration) -> [(&'static str, String); 2] {
    [
        ("statement_timeout", statement_timeout.as_millis().to_string()),
        // If a network fails so that the server does not learn of it, locks end when we have given up the transaction.
        ("idle_in_transaction_session_timeout", patience(statement_timeout).as_millis().to_string()),
    ]
}

fn plain_options(url: &SecretString) -> Result<PgConnectOptions> {
    Ok(PgConnectOptions::from_str(url.expose_secret())?
        .application_name("device-management")
        .disable_statement_logging())
}
