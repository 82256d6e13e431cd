//! Brings the tables up to date.
//!
//! One process migrates at a time, and a database that lacks nothing is only read. What another session holds (the right to
//! migrate, a table, the SQLite file) is waited for: the log says so after a few seconds, and the run fails after
//! `MIGRATE_LOCK_TIMEOUT_SECONDS`. The bookkeeping is sqlx's own; the order of steps and the waiting are here.

mod postgres;
mod sqlite;

use std::sync::LazyLock;
use std::time::Duration;

use sqlx::migrate::{Migrate, MigrateError, Migration, Migrator};
use tokio::time::{Instant, sleep};

use super::{DatabaseSettings, DatabaseUrl, Result, StoreError};

static POSTGRES: LazyLock<Migrator> = LazyLock::new(|| sqlx::migrate!("migrations/postgres"));
static SQLITE: LazyLock<Migrator> = LazyLock::new(|| sqlx::migrate!("migrations/sqlite"));

/// Where sqlx notes what has been applied.
const APPLIED: &str = "_sqlx_migrations";

/// How long a lock is waited for before the log says so, and again until the log repeats it.
const SILENCE: Duration = Duration::from_secs(3);
const REPEAT: Duration = Duration::from_secs(15);

/// Between two attempts to get a lock: as long as requests have a free way.
const PAUSE: Duration = Duration::from_secs(1);

/// The last migration of this build.
pub(super) fn newest() -> i64 {
    POSTGRES.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// Brings the tables up to date.
///
/// # Errors
/// When the database cannot be reached, when a lock is not free in time, or when a migration fails or was changed after it
/// had been applied.
pub async fn migrate(settings: &DatabaseSettings) -> Result<()> {
    match &settings.url {
        DatabaseUrl::Postgres(..) => migrate_with(&POSTGRES, settings).await,
        DatabaseUrl::Sqlite(_) => migrate_with(&SQLITE, settings).await,
    }
}

/// The same with other migrations than those of this build.
///
/// # Errors
/// As for [`migrate`].
pub async fn migrate_with(migrations: &Migrator, settings: &DatabaseSettings) -> Result<()> {
    match &settings.url {
        DatabaseUrl::Postgres(url, _) => postgres::migrate(migrations, url, settings).await,
        DatabaseUrl::Sqlite(file) => sqlite::migrate(migrations, file, settings.migrate_lock_timeout).await,
    }
}

/// What has not been applied yet. The table of those that were must be there.
async fn pending<'a, C: Migrate>(connection: &mut C, migrations: &'a Migrator) -> Result<Vec<&'a Migration>> {
    if let Some(version) = connection.dirty_version(APPLIED).await? {
        return Err(MigrateError::Dirty(version).into());
    }
    let applied = connection.list_applied_migrations(APPLIED).await?;
    for row in &applied {
        match migrations.iter().find(|migration| migration.version == row.version) {
            None => return Err(StoreError::OtherSchema(MigrateError::VersionMissing(row.version))),
            Some(known) if known.checksum != row.checksum => {
                return Err(StoreError::OtherSchema(MigrateError::VersionMismatch(row.version)));
            }
            Some(_) => {}
        }
    }
    let is_applied = |migration: &Migration| applied.iter().any(|row| row.version == migration.version);
    Ok(migrations.iter().filter(|migration| !is_applied(migration)).collect())
}

/// Waiting for something that another session holds.
struct Wait {
    /// What is waited for.
    what: String,
    since: Instant,
    limit: Duration,
    told: Option<Instant>,
    /// Who holds it, as far as it is known.
    holders: String,
}

impl Wait {
    fn for_(what: impl Into<String>, limit: Duration) -> Self {
        let holders = "another session".to_owned();
        Self { what: what.into(), since: Instant::now(), limit, told: None, holders }
    }

    /// Takes down who holds it, and says so in the log if it has lasted.
    fn notice(&mut self, holders: Option<String>) {
        if let Some(holders) = holders {
            self.holders = holders;
        }
        let is_new = self.told.is_none_or(|told| told.elapsed() >= REPEAT);
        if self.since.elapsed() >= SILENCE && is_new {
            self.told = Some(Instant::now());
            let seconds = self.since.elapsed().as_secs();
            let limit = self.limit.as_secs();
            tracing::warn!(
                "waiting for {} for {seconds} s, held by {}; given up after {limit} s",
                self.what,
                self.holders
            );
        }
    }

    /// Gives the others time before the next attempt.
    ///
    /// # Errors
    /// When the time for waiting is over.
    async fn pause(&mut self) -> Result<()> {
        if self.since.elapsed() >= self.limit {
            return Err(self.give_up());
        }
        sleep(PAUSE.min(self.limit)).await;
        Ok(())
    }

    fn give_up(&self) -> StoreError {
        StoreError::LockNotFree {
            what: self.what.clone(),
            holders: self.holders.clone(),
            seconds: self.since.elapsed().as_secs(),
        }
    }
}
