//! Brings the tables up to date.

use sqlx::migrate::{Migrate, Migrator};
use sqlx::pool::PoolOptions;
use sqlx::{Connection, Postgres, Sqlite};

use super::connect::{check_session, postgres_options, sqlite_options};
use super::engine::Engine;
use super::{DatabaseSettings, DatabaseUrl, Result};

static POSTGRES_MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");
static SQLITE_MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// The last migration of this build.
pub(super) fn newest() -> i64 {
    POSTGRES_MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// Brings the tables up to date. On Postgres under an advisory lock, so that replicas which start together do not collide.
///
/// # Errors
/// When the database cannot be reached, or a migration fails or was changed after it had been applied.
pub async fn migrate(settings: &DatabaseSettings) -> Result<()> {
    match &settings.url {
        DatabaseUrl::Postgres(url) => {
            // Also because the pool below would try for half a minute to reach a server that is not there.
            check_session(url, settings).await?;
            // Without a statement timeout: a migration may take its time, and so may waiting for the lock.
            run::<Postgres>(&POSTGRES_MIGRATIONS, postgres_options(url)?).await
        }
        DatabaseUrl::Sqlite(file) => run::<Sqlite>(&SQLITE_MIGRATIONS, sqlite_options(file)).await,
    }
}

async fn run<DB: Engine>(migrations: &Migrator, options: <DB::Connection as Connection>::Options) -> Result<()>
where
    DB::Connection: Migrate,
{
    let pool = PoolOptions::<DB>::new().max_connections(1).connect_with(options).await?;
    migrations.run(&pool).await?;
    pool.close().await;
    Ok(())
}
