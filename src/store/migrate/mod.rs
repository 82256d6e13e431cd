//! Applies pending migrations.
//!
//! One process migrates at a time; an up-to-date database is only read. If another session holds a lock (the migration
//! lock, a table, the SQLite file), the run logs a warning after a few seconds and fails after
//! `MIGRATE_LOCK_TIMEOUT_SECONDS`. sqlx keeps the table of applied migrations; this module does the order of steps and
//! the waiting.

mod postgres;
mod sqlite;

use std::sync::LazyLock;
use std::time::Duration;

use sqlx::migrate::{Migrate, MigrateError, Migration, Migrator};
use tokio::time::{Instant, sleep};

use super::{DatabaseSettings, DatabaseUrl, Result, StoreError};

static POSTGRES: LazyLock<Migrator> = LazyLock::new(|| sqlx::migrate!("migrations/postgres"));
static SQLITE: LazyLock<Migrator> = LazyLock::new(|| sqlx::migrate!("migrations/sqlite"));

/// sqlx's table of applied migrations.
const APPLIED: &str = "_sqlx_migrations";

/// How long to wait for a lock before the first warning, and between warnings.
const WARN_AFTER: Duration = Duration::from_secs(3);
const WARN_EVERY: Duration = Duration::from_secs(15);

/// Delay between two attempts to get a lock, during which requests are not blocked.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Version of the newest migration of this build.
pub(super) fn newest() -> i64 {
    POSTGRES.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// Applies pending migrations.
///
/// # Errors
/// When the database is unreachable, a lock is not free in time, a migration fails, or an applied migration differs
/// from this build's.
pub async fn migrate(settings: &DatabaseSettings) -> Result<()> {
    match &settings.url {
        DatabaseUrl::Postgres(..) => migrate_with(&POSTGRES, settings).await,
        DatabaseUrl::Sqlite(_) => migrate_with(&SQLITE, settings).await,
    }
}

/// Applies migrations other than this build's.
///
/// # Errors
/// As for [`migrate`].
pub async fn migrate_with(migrations: &Migrator, settings: &DatabaseSettings) -> Result<()> {
    match &settings.url {
        DatabaseUrl::Postgres(url, _) => postgres::migrate(migrations, url, settings).await,
        DatabaseUrl::Sqlite(file) => sqlite::migrate(migrations, file, settings.migrate_lock_timeout).await,
    }
}

/// The pending migrations. The table of applied ones must exist.
async fn pending<'a, C: Migrate>(connection: &mut C, migrations: &'a Migrator) -> Result<Vec<&'a Migration>> {
    if let Some(version) = connection.dirty_version(APPLIED).await? {
        return Err(MigrateError::Dirty(version).into());
    }
    let applied = connection.list_applied_migrations(APPLIED).await?;
    let state = SchemaState::of(migrations, applied.iter().map(|row| (row.version, &*row.checksum)));
    if let Some(version) = state.unknown.first() {
        return Err(StoreError::OtherSchema(MigrateError::VersionMissing(*version)));
    }
    if let Some(version) = state.edited.first() {
        return Err(StoreError::OtherSchema(MigrateError::VersionMismatch(*version)));
    }
    Ok(state.pending)
}

/// The applied migrations of a database, compared with those of this build.
pub(super) struct SchemaState<'a> {
    /// Of this build, not applied.
    pub(super) pending: Vec<&'a Migration>,
    /// Applied, but not of this build.
    pub(super) unknown: Vec<i64>,
    /// Applied with another text.
    pub(super) edited: Vec<i64>,
}

impl<'a> SchemaState<'a> {
    fn of<'r>(migrations: &'a Migrator, applied: impl Iterator<Item = (i64, &'r [u8])>) -> Self {
        let mut state = Self { pending: migrations.iter().collect(), unknown: Vec::new(), edited: Vec::new() };
        for (version, checksum) in applied {
            match migrations.iter().find(|migration| migration.version == version) {
                None => state.unknown.push(version),
                Some(known) if *known.checksum != *checksum => state.edited.push(version),
                Some(_) => {}
            }
            state.pending.retain(|migration| migration.version != version);
        }
        state
    }
}

/// Compares the applied migrations, by version and checksum, with those of this build for the database.
pub(super) fn schema_state<'r>(
    url: &DatabaseUrl,
    applied: impl Iterator<Item = (i64, &'r [u8])>,
) -> SchemaState<'static> {
    match url {
        DatabaseUrl::Postgres(..) => SchemaState::of(&POSTGRES, applied),
        DatabaseUrl::Sqlite(_) => SchemaState::of(&SQLITE, applied),
    }
}

/// A wait for a lock that another session holds.
struct Wait {
    /// The lock.
    what: String,
    since: Instant,
    limit: Duration,
    warned: Option<Instant>,
    /// The sessions that hold it, as far as known.
    holders: String,
}

impl Wait {
    fn for_(what: impl Into<String>, limit: Duration) -> Self {
        let holders = "another session".to_owned();
        Self { what: what.into(), since: Instant::now(), limit, warned: None, holders }
    }

    /// Updates the holders, and logs a warning if the wait has lasted.
    fn notice(&mut self, holders: Option<String>) {
        if let Some(holders) = holders {
            self.holders = holders;
        }
        let is_new = self.warned.is_none_or(|warned| warned.elapsed() >= WARN_EVERY);
        if self.since.elapsed() >= WARN_AFTER && is_new {
            self.warned = Some(Instant::now());
            let seconds = self.since.elapsed().as_secs();
            let limit = self.limit.as_secs();
            tracing::warn!(
                "waiting for {} for {seconds} s, held by {}; given up after {limit} s",
                self.what,
                self.holders
            );
        }
    }

    /// Waits before the next attempt.
    ///
    /// # Errors
    /// When the timeout has passed.
    async fn pause(&mut self) -> Result<()> {
        if self.since.elapsed() >= self.limit {
            return Err(self.give_up());
        }
        sleep(RETRY_DELAY.min(self.limit)).await;
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
