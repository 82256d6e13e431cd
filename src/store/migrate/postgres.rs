//! Migrations on Postgres, while replicas serve requests on the same tables.
//!
//! The migration lock is sqlx's advisory lock, acquired by polling: a session that waits for it inside a statement
//! holds a snapshot that `create index concurrently` waits for, which is a deadlock.
//!
//! A migration runs in one transaction that must get its locks within [`LOCK_TIMEOUT`], and is otherwise retried after
//! a pause: while a statement such as `alter table` waits for a lock, all later requests on that table queue behind it.
//! A migration that begins with `-- no-transaction` runs statement by statement; its statements build or drop indexes
//! concurrently, block no request, and may wait. An index that an interrupted attempt left unfinished is invalid, and
//! is dropped first.

use std::time::Duration;

use crc::{CRC_32_ISO_HDLC, Crc};
use secrecy::SecretString;
use sqlx::migrate::{Migrate, Migration, Migrator};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection, RawSql};
use tokio::time::{sleep, timeout};

use super::{APPLIED, Wait, pending};
use crate::store::connect::reach_postgres;
use crate::store::connect::session::migration_options;
use crate::store::{DatabaseSettings, Result, StoreError};

/// How long a transaction waits for the lock on a table, with all later requests queued behind it.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);

/// How often the sessions that block a running statement are polled.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Brings the tables up to date.
pub(super) async fn migrate(migrations: &Migrator, url: &SecretString, settings: &DatabaseSettings) -> Result<()> {
    // Checks the requirements, and fails fast when the server is unreachable.
    reach_postgres(url, settings).await?.close().await?;
    let mut run = Run::connect(url, settings.migrate_lock_timeout).await?;
    if run.is_complete(migrations).await? {
        return run.end().await;
    }
    run.lock().await?;
    run.connection.ensure_migrations_table(APPLIED).await?;
    for migration in pending(&mut run.connection, migrations).await? {
        run.apply(migration).await?;
    }
    run.end().await
}

/// A run of migrations.
struct Run {
    connection: PgConnection,
    watch: Watch,
    limit: Duration,
}

impl Run {
    async fn connect(url: &SecretString, limit: Duration) -> Result<Self> {
        let options = migration_options(url)?.options([("lock_timeout", LOCK_TIMEOUT.as_millis())]);
        let mut connection = options.connect().await?;
        let pid = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut connection).await?;
        Ok(Self { connection, watch: Watch { options, pid, connection: None }, limit })
    }

    async fn is_complete(&mut self, migrations: &Migrator) -> Result<bool> {
        let query = sqlx::query_scalar("select to_regclass('_sqlx_migrations') is not null");
        let has_table: bool = query.fetch_one(&mut self.connection).await?;
        Ok(has_table && pending(&mut self.connection, migrations).await?.is_empty())
    }

    /// Takes the same lock as sqlx, which is released with the session.
    async fn lock(&mut self) -> Result<()> {
        let mut wait = Wait::for_("the migration lock", self.limit);
        let query = sqlx::query_scalar("select current_database()::text");
        let name: String = query.fetch_one(&mut self.connection).await?;
        let key = lock_key(&name);
        loop {
            let query = sqlx::query_scalar("select pg_try_advisory_lock($1)").bind(key);
            if query.fetch_one(&mut self.connection).await? {
                return Ok(());
            }
            let query = sqlx::query_as(
                "select pid, application_name
                   from pg_locks
                   join pg_stat_activity using (pid)
                  where locktype = 'advisory'
                    and database = (select oid from pg_database where datname = current_database())
                    and classid = (($1 >> 32) & 4294967295)::oid
                    and objid = ($1 & 4294967295)::oid
                    and objsubid = 1
                    and granted",
            );
            wait.notice(described(&query.bind(key).fetch_all(&mut self.connection).await?));
            wait.pause().await?;
        }
    }

    async fn apply(&mut self, migration: &Migration) -> Result<()> {
        if !migration.no_tx {
            return self.apply_as_a_whole(migration).await;
        }
        for statement in statements(migration.sql.as_str()) {
            self.run_alone(migration.version, &statement).await?;
        }
        // Its statements have run: sqlx only records it as applied.
        Ok(self.connection.skip(APPLIED, migration).await?)
    }

    /// Applies a migration in one transaction; retries until the locks that it needs are free.
    async fn apply_as_a_whole(&mut self, migration: &Migration) -> Result<()> {
        let mut wait = Wait::for_(format!("a table of migration {}", migration.version), self.limit);
        loop {
            let work = self.connection.apply(APPLIED, migration);
            match self.watch.during(&mut wait, work).await.map_err(StoreError::from) {
                Err(error) if is_lock_refused(&error) => wait.pause().await?,
                done => return done.map(drop),
            }
        }
    }

    /// Runs a statement that takes no lock that would block requests, and which may therefore wait itself.
    async fn run_alone(&mut self, version: i64, statement: &str) -> Result<()> {
        if let Some(index) = built_index(statement) {
            let query = sqlx::query_scalar(
                "select exists (select from pg_index where indexrelid = to_regclass($1) and not indisvalid)",
            );
            if query.bind(index).fetch_one(&mut self.connection).await? {
                tracing::info!("index {index} was left unfinished by an earlier attempt, will be rebuilt");
                self.wait_and_run(version, &format!("drop index concurrently {index}")).await?;
            }
        }
        self.wait_and_run(version, statement).await
    }

    async fn wait_and_run(&mut self, version: i64, statement: &str) -> Result<()> {
        let mut wait = Wait::for_(format!("an older transaction than migration {version}"), self.limit);
        let patience =
            sqlx::query("select set_config('lock_timeout', $1, false)").bind(self.limit.as_millis().to_string());
        patience.execute(&mut self.connection).await?;
        let work = of_a_migration(statement).execute(&mut self.connection);
        let done = self.watch.during(&mut wait, work).await.map_err(StoreError::from);
        if done.as_ref().is_err_and(is_lock_refused) {
            return Err(wait.give_up());
        }
        done?;
        sqlx::raw_sql("reset lock_timeout").execute(&mut self.connection).await?;
        Ok(())
    }

    async fn end(self) -> Result<()> {
        self.watch.close().await;
        Ok(self.connection.close().await?)
    }
}

/// Finds the sessions that block a running statement, on a separate connection. Only for the log; its own errors are
/// ignored.
struct Watch {
    options: PgConnectOptions,
    pid: i32,
    connection: Option<PgConnection>,
}

impl Watch {
    /// Runs `work`, and meanwhile logs the sessions that it waits for.
    async fn during<T>(&mut self, wait: &mut Wait, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = sleep(POLL_INTERVAL) => {}
            }
            if let Ok(Ok(Some(blockers))) = timeout(POLL_INTERVAL, self.blockers()).await {
                wait.notice(Some(blockers));
            }
        }
    }

    async fn blockers(&mut self) -> sqlx::Result<Option<String>> {
        if self.connection.is_none() {
            self.connection = Some(self.options.connect().await?);
        }
        let Some(connection) = &mut self.connection else { return Ok(None) };
        let query = sqlx::query_as(
            "select pid, application_name
               from pg_stat_activity
              where pid = any (pg_blocking_pids($1))
              order by pid
              limit 5",
        );
        let rows = query.bind(self.pid).fetch_all(connection).await;
        if rows.is_err() {
            self.connection = None;
        }
        Ok(described(&rows?))
    }

    async fn close(self) {
        if let Some(connection) = self.connection {
            let _ = timeout(POLL_INTERVAL, connection.close()).await;
        }
    }
}

/// Sessions by the columns of `pg_stat_activity`. Their statements are left out, since they may contain personal data.
fn described(sessions: &[(i32, String)]) -> Option<String> {
    let each = sessions.iter().map(|(pid, application)| format!("pid {pid} (application_name {application:?})"));
    let text = each.collect::<Vec<_>>().join(", ");
    (!text.is_empty()).then_some(text)
}

/// The key of sqlx's lock, so that sqlx-cli and the service exclude each other: see `generate_lock_id` in
/// sqlx-postgres.
fn lock_key(database: &str) -> i64 {
    0x3d32_ad9e * i64::from(Crc::<u32>::new(&CRC_32_ISO_HDLC).checksum(database.as_bytes()))
}

/// Splits a migration into statements without comments. Migrations have no quoted text: see `tests/it/migrations`.
fn statements(sql: &str) -> Vec<String> {
    let code = sql.lines().map(|line| line.split("--").next().unwrap_or_default());
    let code = code.collect::<Vec<_>>().join("\n");
    code.split(';').map(|statement| statement.trim().to_owned()).filter(|statement| !statement.is_empty()).collect()
}

/// A query from the text of a migration, which contains no caller's input.
#[expect(clippy::disallowed_types, reason = "part of a file that is compiled into the binary")]
fn of_a_migration(statement: &str) -> RawSql {
    use sqlx::AssertSqlSafe;
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
}

/// The name of the index that a statement builds.
fn built_index(statement: &str) -> Option<&str> {
    let mut words = statement.split_whitespace().skip_while(|word| *word != "concurrently").skip(1);
    let name = words.by_ref().find(|word| !["if", "not", "exists"].contains(word));
    name.filter(|_| statement.starts_with("create "))
}

/// Whether a lock timed out or this session was the victim of a deadlock.
fn is_lock_refused(error: &StoreError) -> bool {
    let code = error.database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| ["55P03", "40P01"].contains(&&*code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_migration_is_split_into_its_statements() {
        let sql = "-- no-transaction; says why\ncreate index concurrently a on t (x); -- why\n\ndrop index\n concurrently b;\n";
        assert_eq!(statements(sql), ["create index concurrently a on t (x)", "drop index\n concurrently b"]);
    }

    #[test]
    fn built_index_is_the_name_of_a_created_index_only() {
        assert_eq!(built_index("create index concurrently if not exists a on t (x)"), Some("a"));
        assert_eq!(built_index("create unique index concurrently a\n on t (x)"), Some("a"));
        assert_eq!(built_index("drop index concurrently if exists a"), None);
    }
}
