//! Migrations on SQLite: all pending ones in one transaction, which holds the file's only write lock.

use std::path::Path;
use std::time::Duration;

use sqlx::migrate::{Migrate, Migrator};
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::{APPLIED, Wait, pending};
use crate::store::Result;
use crate::store::connect::preconditions::check_sqlite;
use crate::store::connect::sqlite_options;
use crate::store::error::is_busy;

/// How long SQLite itself waits for the file before a retry.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

/// Applies pending migrations.
pub(super) async fn migrate(migrations: &Migrator, file: &Path, limit: Duration) -> Result<()> {
    let mut wait = Wait::for_("the SQLite file", limit);
    loop {
        match attempt(migrations, file).await {
            Err(error) if error.database_error().is_some_and(is_busy) => {
                wait.notice(Some("another process".to_owned()));
                wait.pause().await?;
            }
            done => return done,
        }
    }
}

async fn attempt(migrations: &Migrator, file: &Path) -> Result<()> {
    check_sqlite(file, BUSY_TIMEOUT).await?;
    let mut connection = sqlite_options(file).busy_timeout(BUSY_TIMEOUT).connect().await?;
    let is_complete = has_table(&mut connection).await? && pending(&mut connection, migrations).await?.is_empty();
    if !is_complete {
        // The lock comes first: another process may have applied migrations meanwhile.
        let mut transaction = connection.begin_with("begin immediate").await?;
        transaction.ensure_migrations_table(APPLIED).await?;
        for migration in pending(&mut *transaction, migrations).await? {
            transaction.apply(APPLIED, migration).await?;
        }
        transaction.commit().await?;
    }
    Ok(connection.close().await?)
}

async fn has_table(connection: &mut SqliteConnection) -> Result<bool> {
    let query = sqlx::query_scalar("select count(*) from sqlite_master where name = '_sqlx_migrations'");
    let tables: i64 = query.fetch_one(connection).await?;
    Ok(tables > 0)
}
