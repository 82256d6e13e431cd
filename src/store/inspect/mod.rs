//! Looks at a database for `device-management doctor`, and changes nothing: every look is a separate read-only transaction,
//! so that a refused or failed one does not affect the others.
//!
//! Judges with the same functions as the start of the service. Statements use the simple protocol without parameters, which
//! a pooler in transaction mode supports. Such statements have no generic plan, which Citus refuses.

mod data;
mod grants;
mod postgres;
mod sqlite;

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{Connection, SqlStr};
use tokio::time::timeout;

use super::{DatabaseSettings, DatabaseUrl, StoreError};
use crate::finding::{Finding, skip_missing};
use crate::store::dialect::Dialect;
use crate::store::error::is_table_missing;

/// The ids of the checks of both engines that need a connection.
const DATA_CHECKS: [&str; 6] =
    ["database.migrations", "clients", "clients.secrets", "clients.without_secret", "audit.pending", "housekeeping"];

/// How to look at a database.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// The database.
    pub settings: DatabaseSettings,
    /// Whether `serve` applies pending migrations.
    pub migrates_on_start: bool,
    /// Whether clients other than those in the database can get tokens.
    pub has_other_callers: bool,
    /// The clock of this process.
    pub now: fn() -> DateTime<Utc>,
}

impl Inspection {
    /// Runs all checks. Takes no longer than the timeouts of the settings for each.
    pub async fn run(&self) -> Vec<Finding> {
        match &self.settings.url {
            DatabaseUrl::Postgres(url, transport) => postgres::inspect(self, url, *transport).await,
            DatabaseUrl::Sqlite(file) => sqlite::inspect(self, file).await,
        }
    }

    /// The findings of a database that cannot be looked at.
    #[must_use]
    pub fn skipped(url: &DatabaseUrl, reason: &str) -> Vec<Finding> {
        let mut findings = Vec::new();
        let checks = match url {
            DatabaseUrl::Postgres(..) => &postgres::CHECKS[..],
            DatabaseUrl::Sqlite(_) => &sqlite::CHECKS[..],
        };
        skip_missing(&mut findings, checks, reason);
        skip_missing(&mut findings, &DATA_CHECKS, reason);
        findings
    }
}

/// A connection for looks.
struct Session<DB: Dialect> {
    connection: DB::Connection,
    /// Begins a read-only transaction.
    begin: SqlStr,
    /// The timeout of one look.
    limit: Duration,
    /// Whether a pooler is in between.
    is_pooled: bool,
    /// The connection broke, or a look timed out.
    is_lost: bool,
}

/// Why a look has no result.
enum NoResult {
    /// The role lacks the privilege.
    NotAllowed,
    /// The table does not exist.
    NoTable,
    /// Another error.
    Error(String),
}

impl<DB: Dialect> Session<DB> {
    fn new(connection: DB::Connection, begin: SqlStr, limit: Duration) -> Self {
        Self { connection, begin, limit, is_pooled: false, is_lost: false }
    }

    /// Runs one statement in a read-only transaction.
    async fn rows(&mut self, statement: &'static str) -> Result<Vec<DB::Row>, NoResult> {
        if self.is_lost {
            return Err(NoResult::Error("the connection was lost".to_owned()));
        }
        let connection = &mut self.connection;
        let look = async {
            sqlx::raw_sql(self.begin.clone()).execute(&mut *connection).await?;
            let rows = sqlx::raw_sql(statement).fetch_all(&mut *connection).await;
            sqlx::raw_sql("rollback").execute(&mut *connection).await?;
            rows
        };
        match timeout(self.limit, look).await {
            Ok(Ok(rows)) => Ok(rows),
            Ok(Err(error)) => {
                self.is_lost = error.as_database_error().is_none();
                Err(no_result(&error))
            }
            Err(_) => {
                self.is_lost = true;
                Err(NoResult::Error(format!("no answer within {} s", self.limit.as_secs())))
            }
        }
    }

    /// Runs one statement that returns one row.
    async fn row(&mut self, statement: &'static str) -> Result<DB::Row, NoResult> {
        self.rows(statement).await?.pop().ok_or_else(|| NoResult::Error("the statement returned no row".to_owned()))
    }

    /// Ends the session.
    async fn close(self) {
        let _ = timeout(self.limit, self.connection.close()).await;
    }
}

fn no_result(error: &sqlx::Error) -> NoResult {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    if code.as_deref() == Some("42501") {
        NoResult::NotAllowed
    } else if is_table_missing(error) {
        NoResult::NoTable
    } else {
        NoResult::Error(described(error))
    }
}

impl From<StoreError> for NoResult {
    fn from(error: StoreError) -> Self {
        Self::Error(error.to_string())
    }
}

/// The finding of a check, or why it has none.
fn or_reason(id: &'static str, finding: Result<Finding, NoResult>) -> Finding {
    finding.unwrap_or_else(|reason| reason.finding(id))
}

/// The findings of the checks `ids`, which share a look. Without a result the first has the reason.
fn or_reasons(ids: &[&'static str], findings: Result<Vec<Finding>, NoResult>) -> Vec<Finding> {
    findings.unwrap_or_else(|reason| {
        let (first, others) = ids.split_first().expect("a look is for a check");
        let others = others.iter().map(|id| Finding::skipped(*id, format!("see {first}")));
        [reason.finding(first)].into_iter().chain(others).collect()
    })
}

impl NoResult {
    /// The finding of a check that this look was for.
    fn finding(self, id: &'static str) -> Finding {
        match self {
            Self::NotAllowed => Finding::skipped(id, "the role lacks the privilege to look: see database.grants"),
            Self::NoTable => Finding::skipped(id, "a table is missing: see database.migrations"),
            Self::Error(error) => Finding::failure(id, error, "see the log of the database"),
        }
    }
}

/// An error of the driver, without the parts that may contain a URL or a bound value.
fn described(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => match error.code() {
            Some(code) => format!("{} ({code})", error.message()),
            None => error.message().to_owned(),
        },
        sqlx::Error::Io(error) => error.to_string(),
        sqlx::Error::Tls(error) => format!("TLS failed: {error}"),
        sqlx::Error::PoolTimedOut => "there was no answer in time".to_owned(),
        _ => "the driver refused the answer or the settings of the connection".to_owned(),
    }
}
