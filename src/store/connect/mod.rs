//! Opens the database of `DATABASE_URL`.
//!
//! Supports only Postgres and SQLite. Statements are never logged.

pub(in crate::store) mod database_url;
pub(in crate::store) mod open;
pub(in crate::store) mod preconditions;
pub(in crate::store) mod session;
#[cfg(test)]
mod tests;
pub(in crate::store) mod tls;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use sqlx::error::DatabaseError;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Executor, PgConnection, Postgres, Sqlite};
use tokio::time::timeout;

use crate::store::connect::database_url::DatabaseUrl;
use crate::store::connect::open::{PostgresServer, SqliteFile};
use crate::store::connect::session::OwnSettings;
use crate::store::dialect::Dialect;
use crate::store::error::is_table_missing;
use crate::store::migrate::newest;
use crate::store::pool::{Connector, Pool};
use crate::store::rows::column;
use crate::store::sql_store::SqlStore;
use crate::store::write_form::WriteForm;
use crate::store::{Result, Store, StoreError};

/// How long SQLite waits for a file that another process has locked.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The connection pooler between the service and Postgres.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pooler {
    /// None, or one in session mode: each connection has one server process for its lifetime.
    None,
    /// A pooler that assigns each transaction to any server connection, such as PgBouncer in transaction mode. No
    /// session state outlives a transaction: no settings, no prepared statements.
    Transaction,
}

/// When SQLite waits for the disk (`pragma synchronous`, with a write-ahead log).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Synchronous {
    /// At every commit: a committed write survives a power failure.
    Full,
    /// Only at a checkpoint: a power failure can lose the last commits, but does not corrupt the file. A crash of the
    /// process loses nothing.
    Normal,
}

impl Synchronous {
    /// The length of the write-ahead log, in pages, at which SQLite writes it back to the file and waits for the disk.
    /// Where only checkpoints wait, they are made ten times as rare as by default: the log then grows to about 40 MB.
    fn checkpoint_pages(self) -> &'static str {
        match self {
            Self::Full => "1000",
            Self::Normal => "10000",
        }
    }
}

impl From<Synchronous> for SqliteSynchronous {
    fn from(synchronous: Synchronous) -> Self {
        match synchronous {
            Synchronous::Full => Self::Full,
            Synchronous::Normal => Self::Normal,
        }
    }
}

/// Settings of the database.
#[derive(Clone, Debug)]
pub struct DatabaseSettings {
    /// Its URL.
    pub url: DatabaseUrl,
    /// The file with the URL, which is re-read when the login is refused.
    pub url_file: Option<PathBuf>,
    /// The pooler in front of Postgres.
    pub pooler: Pooler,
    /// When SQLite waits for the disk.
    pub sqlite_synchronous: Synchronous,
    /// Maximum number of connections per process.
    pub max_connections: u32,
    /// How long a request waits for a connection of the pool.
    pub acquire_timeout: Duration,
    /// Postgres cancels a statement after this time. One second later the service stops waiting for the result, on
    /// either engine. The limit for a transaction is the same as for one statement.
    pub statement_timeout: Duration,
    /// How long a migration waits for a lock that another session holds.
    pub migrate_lock_timeout: Duration,
    /// Whether Citus has distributed the tables. [`connect`] finds out.
    pub is_distributed: bool,
}

impl DatabaseSettings {
    /// The defaults for this URL.
    #[must_use]
    pub fn new(url: DatabaseUrl) -> Self {
        Self {
            url,
            url_file: None,
            pooler: Pooler::None,
            sqlite_synchronous: Synchronous::Full,
            max_connections: 10,
            acquire_timeout: Duration::from_secs(2),
            statement_timeout: Duration::from_secs(5),
            migrate_lock_timeout: Duration::from_mins(1),
            is_distributed: false,
        }
    }
}

/// Use of one process's connection pool.
#[derive(Clone, Copy, Debug)]
pub struct PoolUse {
    /// Connections in use.
    pub used: u32,
    /// Idle connections.
    pub idle: u32,
}

/// Opens the database. Its tables may still be missing: see [`crate::store::migrate`] and [`Store::ready`].
///
/// # Errors
/// When the database is unreachable, or [`StoreError::Unfit`] with every requirement that it does not meet.
pub async fn connect(settings: &DatabaseSettings) -> Result<Arc<dyn Store>> {
    Ok(match &settings.url {
        DatabaseUrl::Postgres(url, _) => {
            let mut connection = reach_postgres(url, settings).await?;
            preconditions::warn_about_postgres(&mut connection).await?;
            let write_form = WriteForm::on(&mut connection).await?;
            connection.close().await?;
            let is_distributed = write_form == WriteForm::Transaction;
            let settings = &DatabaseSettings { is_distributed, ..settings.clone() };
            let connector = Connector::new(PostgresServer::new(settings, service_options(url, settings)?));
            let pool = Arc::new(Pool::new(connector, settings.max_connections, settings.pooler, settings));
            Arc::new(SqlStore::<Postgres>::new(pool.clone(), pool, write_form))
        }
        DatabaseUrl::Sqlite(file) => Arc::new(sqlite_store(file, settings).await?),
    })
}

async fn sqlite_store(file: &Path, settings: &DatabaseSettings) -> Result<SqlStore<Sqlite>> {
    preconditions::check_sqlite(file, BUSY_TIMEOUT).await?;
    let synchronous = settings.sqlite_synchronous;
    let options = sqlite_options(file)
        .synchronous(synchronous.into())
        .pragma("wal_autocheckpoint", synchronous.checkpoint_pages());
    let pool = |max| Pool::new(Connector::new(SqliteFile(options.clone())), max, Pooler::None, settings);
    let (reader, writer) = (Arc::new(pool(settings.max_connections)), Arc::new(pool(1)));
    Ok(SqlStore::new(reader, writer, WriteForm::Transaction))
}

#[async_trait::async_trait]
impl<DB: Dialect> Store for SqlStore<DB> {
    async fn ready(&self) -> Result<()> {
        let query = sqlx::query("select coalesce(max(version), 0) as applied from _sqlx_migrations where success");
        match self.row(query).await {
            Ok(Some(row)) if column::<DB, i64>(&row, "applied")? >= newest() => Ok(()),
            Ok(_) => Err(StoreError::NotMigrated),
            Err(StoreError::Driver(error)) if is_table_missing(&error) => Err(StoreError::NotMigrated),
            Err(error) => Err(error),
        }?;
        if let Some(write) = DB::PROVE_WRITABLE {
            self.writer().transact(sqlx::query(write)).await?;
        }
        Ok(())
    }

    fn pool_use(&self) -> PoolUse {
        self.usage()
    }

    async fn close(&self) {
        self.shut().await;
    }
}

/// The options for the service's connections to Postgres.
pub(in crate::store) fn service_options(url: &SecretString, settings: &DatabaseSettings) -> Result<PgConnectOptions> {
    match settings.pooler {
        Pooler::None => session::service_options(url, OwnSettings::of(settings)),
        Pooler::Transaction => session::pooled_options(url),
    }
}

/// Opens a connection to Postgres as the service does, and checks the database's requirements.
///
/// The settings in a connection's start-up options must stay in force. They do not behind a pooler that
/// `DATABASE_POOLER` does not announce, and such a pooler could also run another client's prepared statement. The check
/// itself prepares no statement.
///
/// # Errors
/// When the database is unreachable, or [`StoreError::SessionNotKept`], or [`StoreError::Unfit`].
pub(in crate::store) async fn reach_postgres(url: &SecretString, settings: &DatabaseSettings) -> Result<PgConnection> {
    preconditions::fit(tls::file_problems(url))?;
    let connection = timeout(settings.acquire_timeout, service_options(url, settings)?.connect()).await;
    let mut connection = match connection.unwrap_or(Err(sqlx::Error::PoolTimedOut)) {
        Err(error) if settings.pooler == Pooler::None && refuses_parameters(&error) => {
            return Err(StoreError::SessionNotKept(Some(error)));
        }
        connection => connection?,
    };
    match settings.pooler {
        Pooler::None => check_session(&mut connection).await?,
        // Closing the connection ends the transaction.
        Pooler::Transaction => {
            connection.execute(session::pooled_begin("begin", OwnSettings::of(settings))).await?;
        }
    }
    preconditions::check_postgres(&mut connection).await?;
    Ok(connection)
}

/// Checks the source of each setting, not its value: the role or the database may have the same value by chance.
pub(in crate::store) async fn check_session(connection: &mut PgConnection) -> Result<()> {
    let query = sqlx::raw_sql("select name from pg_settings where source = 'client'");
    let rows = query.fetch_all(connection).await?;
    let kept = rows.iter().map(|row| column::<Postgres, String>(row, "name")).collect::<Result<Vec<_>>>()?;
    let all_hold = session::pinned().all(|name| kept.iter().any(|kept| kept == name));
    if all_hold { Ok(()) } else { Err(StoreError::SessionNotKept(None)) }
}

/// Whether a connection was rejected for its start-up options: poolers do not support them, and report a protocol
/// violation (PgBouncer) or an unsupported feature.
pub(in crate::store) fn refuses_parameters(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.is_some_and(|code| ["08P01", "0A000"].contains(&&*code))
}

/// The options for connections to an existing SQLite file. A committed write survives a power failure.
pub(in crate::store) fn sqlite_options(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(Synchronous::Full.into())
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging()
}
