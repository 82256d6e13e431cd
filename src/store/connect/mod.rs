//! Opens the database that a URL names.
//!
//! Refuses any engine but Postgres and SQLite. Statements are never logged.

pub(in crate::store) mod database_url;
pub(in crate::store) mod open;
pub(in crate::store) mod preconditions;
pub(in crate::store) mod session;

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
    /// The file that the URL came from, which is read anew when the login is refused.
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

/// Opens the database. Its tables may still be missing: see [`crate::store::migrate`] and [`Store::ready`].
///
/// # Errors
/// When the database cannot be reached, or lacks what the service relies on: [`StoreError::Unfit`] names all of it.
pub async fn connect(settings: &DatabaseSettings) -> Result<Arc<dyn Store>> {
    Ok(match &settings.url {
        DatabaseUrl::Postgres(url, _) => {
            let mut connection = reach_postgres(url, settings).await?;
            preconditions::warn_about_postgres(&mut connection).await?;
            let write_form = WriteForm::on(&mut connection).await?;
            connection.close().await?;
            let connector = Connector::new(PostgresServer::new(settings, service_options(url, settings)?));
            let pool = Arc::new(Pool::new(connector, settings.max_connections, settings.pooler, settings));
            Arc::new(SqlStore::<Postgres>::new(pool.clone(), pool, write_form))
        }
        DatabaseUrl::Sqlite(file) => {
            preconditions::check_sqlite(file, BUSY_TIMEOUT).await?;
            let pool = |max| Pool::<Sqlite>::new(Connector::new(SqliteFile(file.clone())), max, Pooler::None, settings);
            let (reader, writer) = (Arc::new(pool(settings.max_connections)), Arc::new(pool(1)));
            Arc::new(SqlStore::new(reader, writer, WriteForm::Transaction))
        }
    })
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

/// How the service opens its connections to Postgres.
pub(in crate::store) fn service_options(url: &SecretString, settings: &DatabaseSettings) -> Result<PgConnectOptions> {
    match settings.pooler {
        Pooler::None => session::service_options(url, settings.statement_timeout),
        Pooler::Transaction => session::pooled_options(url),
    }
}

/// Opens a connection to Postgres as the service does, and makes sure that the database is fit for it.
///
/// What is said at the start of a connection must hold. Behind a pooler that the service was not told of it does not, and a
/// statement could run that was prepared for another. Asks without preparing anything.
///
/// # Errors
/// When the database cannot be reached, or [`StoreError::SessionNotKept`], or [`StoreError::Unfit`].
pub(in crate::store) async fn reach_postgres(url: &SecretString, settings: &DatabaseSettings) -> Result<PgConnection> {
    let connection = timeout(settings.acquire_timeout, service_options(url, settings)?.connect()).await;
    let mut connection = match connection.unwrap_or(Err(sqlx::Error::PoolTimedOut)) {
        Err(error) if settings.pooler == Pooler::None && refuses_parameters(&error) => {
            return Err(StoreError::SessionNotKept(Some(error)));
        }
        connection => connection?,
    };
    match settings.pooler {
        Pooler::None => check_session(&mut connection).await?,
        // The transaction ends with the connection.
        Pooler::Transaction => {
            connection.execute(session::pooled_begin("begin", settings.statement_timeout)).await?;
        }
    }
    preconditions::check_postgres(&mut connection).await?;
    Ok(connection)
}

/// A value that the role or the database has may be the same as ours by chance, so it is asked where each comes from.
async fn check_session(connection: &mut PgConnection) -> Result<()> {
    let query = sqlx::raw_sql("select name from pg_settings where source = 'client'");
    let rows = query.fetch_all(connection).await?;
    let kept = rows.iter().map(|row| column::<Postgres, String>(row, "name")).collect::<Result<Vec<_>>>()?;
    let all_hold = session::pinned().all(|name| kept.iter().any(|kept| kept == name));
    if all_hold { Ok(()) } else { Err(StoreError::SessionNotKept(None)) }
}

/// Whether a connection was refused for what it began with: poolers take no start-up options, and say so with the code of
/// a protocol violation (PgBouncer) or of a feature that is not there.
fn refuses_parameters(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.is_some_and(|code| ["08P01", "0A000"].contains(&&*code))
}

/// How a connection to a file is opened that is there.
pub(in crate::store) fn sqlite_options(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full) // an answered 204 survives a power cut
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging()
}
