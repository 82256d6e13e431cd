//! Opens the database that a URL names.
//!
//! Refuses any engine but Postgres and SQLite. Statements are never logged.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::error::DatabaseError;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Postgres, Sqlite};
use tokio::time::timeout;

use super::connector::Connector;
use super::database_url::DatabaseUrl;
use super::engine::Engine;
use super::migrate::newest;
use super::pool::{Pool, patience};
use super::rows::column;
use super::sql_store::SqlStore;
use super::{Result, Store, StoreError};

/// What stands between the service and Postgres.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pooler {
    /// Nothing that could be noticed: a connection is one server process for all its life.
    None,
    /// A pooler that hands each transaction to any of its connections, such as PgBouncer in transaction mode. Nothing may
    /// outlive a transaction: no settings, no prepared statements.
    Transaction,
}

/// How to use the database.
#[derive(Clone, Debug)]
pub struct DatabaseSettings {
    /// Which one.
    pub url: DatabaseUrl,
    /// The file that the URL was read from, if it was.
    pub url_file: Option<PathBuf>,
    /// What stands in between, if it is Postgres.
    pub pooler: Pooler,
    /// Connections at most, per process.
    pub max_connections: u32,
    /// How long a request waits for a free connection.
    pub acquire_timeout: Duration,
    /// How long Postgres may work on one statement. A second later we no longer wait for the answer, whatever the database
    /// is; a transaction has no longer than one statement.
    pub statement_timeout: Duration,
    /// How long a migration waits for what another session holds.
    pub migrate_lock_timeout: Duration,
}

impl DatabaseSettings {
    /// The defaults, for a database.
    #[must_use]
    pub fn new(url: DatabaseUrl) -> Self {
        Self {
            url,
            url_file: None,
            pooler: Pooler::None,
            max_connections: 10,
            acquire_timeout: Duration::from_secs(2),
            statement_timeout: Duration::from_secs(5),
            migrate_lock_timeout: Duration::from_mins(1),
        }
    }
}

/// How the connections of one process are used.
#[derive(Clone, Copy, Debug)]
pub struct PoolUse {
    /// How many are lent.
    pub used: u32,
    /// How many are open and wait to be lent.
    pub idle: u32,
}

/// Opens the database. Its tables may still be missing: see [`super::migrate`] and [`Store::ready`].
///
/// # Errors
/// When the database cannot be reached.
pub async fn connect(settings: &DatabaseSettings) -> Result<Arc<dyn Store>> {
    Ok(match &settings.url {
        DatabaseUrl::Postgres(url, _) => {
            check_session(url, settings).await?;
            let connector = Connector::new(service_options(url, settings)?);
            let pool = Arc::new(Pool::new(connector, settings.max_connections, settings.pooler, settings));
            Arc::new(SqlStore::<Postgres>::new(pool.clone(), pool))
        }
        DatabaseUrl::Sqlite(file) => {
            // The writer first: it makes the file.
            let pool = |max| Pool::<Sqlite>::new(Connector::new(sqlite_options(file)), max, Pooler::None, settings);
            let writer = pool(1);
            writer.reach().await?;
            let reader = pool(settings.max_connections);
            Arc::new(SqlStore::new(Arc::new(reader), Arc::new(writer)))
        }
    })
}

#[async_trait::async_trait]
impl<DB: Engine> Store for SqlStore<DB> {
    async fn ready(&self) -> Result<()> {
        let query = sqlx::query("select coalesce(max(version), 0) as applied from _sqlx_migrations where success");
        match self.row(query).await {
            Ok(Some(row)) if column::<DB, i64>(&row, "applied")? >= newest() => Ok(()),
            Ok(_) | Err(StoreError::Driver(_)) => Err(StoreError::NotMigrated),
            Err(error) => Err(error),
        }
    }

    fn pool_use(&self) -> PoolUse {
        self.usage()
    }

    async fn close(&self) {
        self.shut().await;
    }
}

pub(super) fn postgres_options(url: &SecretString) -> Result<PgConnectOptions> {
    Ok(PgConnectOptions::from_str(url.expose_secret())?
        .application_name("device-management")
        .disable_statement_logging())
}

/// What the service itself works with; a migration may take its time.
fn service_options(url: &SecretString, settings: &DatabaseSettings) -> Result<PgConnectOptions> {
    let options = postgres_options(url)?;
    Ok(match settings.pooler {
        Pooler::None => {
            let statement = settings.statement_timeout.as_millis().to_string();
            // If a network fails so that the server does not learn of it, locks end when we have given up the transaction.
            let idle = patience(settings.statement_timeout).as_millis().to_string();
            options.options([("statement_timeout", statement), ("idle_in_transaction_session_timeout", idle)])
        }
        // PgBouncer refuses what it cannot keep apart for each client. Floats come in binary, so their digits do not matter.
        Pooler::Transaction => options.extra_float_digits(None),
    })
}

/// Makes sure that the database is there, and that what was said at the start of a connection holds. Behind a pooler that
/// nobody told of it does not, and a statement could run that was prepared for another. Asks without preparing anything.
pub(super) async fn check_session(url: &SecretString, settings: &DatabaseSettings) -> Result<()> {
    let connection = timeout(settings.acquire_timeout, service_options(url, settings)?.connect()).await;
    let mut connection = match connection.unwrap_or(Err(sqlx::Error::PoolTimedOut)) {
        Err(error) if settings.pooler == Pooler::None && refuses_parameters(&error) => {
            return Err(StoreError::SessionNotKept(Some(error)));
        }
        connection => connection?,
    };
    let query = sqlx::raw_sql("select setting, source from pg_settings where name = 'statement_timeout'");
    let row = query.fetch_one(&mut connection).await?;
    let (limit, source) = (column::<Postgres, String>(&row, "setting")?, column::<Postgres, String>(&row, "source")?);
    connection.close().await?;
    match settings.pooler {
        // A limit that the role or the database has may be the same as ours.
        Pooler::None if source != "client" => Err(StoreError::SessionNotKept(None)),
        Pooler::Transaction if limit == "0" => {
            tracing::warn!(
                "statements have no time limit: alter role ... set statement_timeout, as the pooler keeps none"
            );
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Whether a connection was refused for what it began with: poolers take no start-up options, and say so with the code of
/// a protocol violation (PgBouncer) or of a feature that is not there.
fn refuses_parameters(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.is_some_and(|code| ["08P01", "0A000"].contains(&&*code))
}

pub(super) fn sqlite_options(file: &PathBuf) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full) // an answered 204 survives a power cut
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(5))
        .disable_statement_logging()
}
