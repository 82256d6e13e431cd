//! Locks of migrations on tables of a million rows: for how long they block other sessions, which read and write
//! meanwhile. Every migration that the last release does not have, and samples.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::time::{Duration, Instant};

use device_management::store::migrate_with;
use sqlx::migrate::{Migration, Migrator};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::sync::watch;
use tokio::time::interval;

use super::locks::{PATIENCE, settings};
use super::{empty, samples};
use crate::harness::{Engine, TestDatabase, number_from_environment, sql};

/// The longest time for which a migration may hold a lock that blocks writes. Shorter on a fast machine: see
/// [`FILLS_PER_HELD`].
const HELD_MAX: Duration = Duration::from_millis(250);

/// The time to fill a table with rows and index them is at least this many times the longest permitted time of a lock.
/// A statement that reads or writes each row takes a greater part of it, regardless of the machine.
const FILLS_PER_HELD: u32 = 40;

/// The longest time that a statement of another session may take: the lock timeout of migrations, and
/// [`HELD_MAX`].
const WAIT_MAX: Duration = Duration::from_millis(2250);

/// The delays that a migration causes other sessions.
#[derive(Debug)]
struct Effect {
    /// The longest time for which a lock that blocks writes was held, at the least, its bound, and the locks.
    held: Duration,
    held_max: Duration,
    locks: BTreeSet<String>,
    /// The slowest read or write.
    slowest: Duration,
}

impl Effect {
    fn blocks(&self) -> bool {
        self.held > self.held_max || self.slowest > WAIT_MAX
    }
}

/// A database with full tables.
struct Full {
    database: TestDatabase,
    /// The migrations that have been applied.
    applied: Vec<Migration>,
    rows: u64,
    /// The filled tables, with the time that it took.
    filled: BTreeMap<String, Duration>,
}

impl Full {
    /// Applies a migration after filling its tables.
    async fn effect(&mut self, migration: &Migration) -> Effect {
        let statements = migration.sql.as_str().lines().filter(|line| !line.trim_start().starts_with("--"));
        let text = statements.collect::<Vec<_>>().join("\n").to_lowercase();
        let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
        let words: BTreeSet<&str> = text.split(|letter| !is_word(letter)).collect();
        let tables = sql::tables(&self.database).await;
        let tables: Vec<String> = tables.into_iter().filter(|table| words.contains(&**table)).collect();
        for table in &tables {
            if !self.filled.contains_key(table) {
                let started = Instant::now();
                fill(self.database.url(), table, self.rows).await;
                self.filled.insert(table.clone(), started.elapsed());
            }
        }
        let held_max = tables.iter().map(|table| self.filled[table] / FILLS_PER_HELD).min();
        let held_max = held_max.unwrap_or(HELD_MAX).min(HELD_MAX);
        self.applied.push(migration.clone());
        let migrations = Migrator::with_migrations(self.applied.clone());
        let (ended, end) = watch::channel(false);
        let (url, settings) = (self.database.url(), settings(&self.database, PATIENCE));
        let work = async {
            migrate_with(&migrations, &settings).await.unwrap();
            ended.send_replace(true);
        };
        let (read, write) = (read_and_write(url, &tables, false, &end), read_and_write(url, &tables, true, &end));
        let ((), (held, locks), read, write) = tokio::join!(work, watch_locks(url, &tables, &end), read, write);
        Effect { held, held_max, locks, slowest: read.max(write) }
    }
}

/// Fills every column of a table with values of its type. Foreign keys hold: rows of the same number have the same ids.
async fn fill(url: &str, table: &str, rows: u64) {
    let columns = format!(
        "select column_name || ' ' || data_type from information_schema.columns
          where table_schema = 'public' and table_name = '{table}'"
    );
    let columns = sql::texts(url, &columns).await;
    let (names, values): (Vec<_>, Vec<_>) = columns
        .iter()
        .map(|column| match column.split_once(' ').unwrap() {
            (name @ "partner_id", _) => (name, "'acme'"),
            (name, "text") => (name, "'x' || n"),
            (name, "uuid") => (name, "lpad(to_hex(n), 32, '0')::uuid"),
            (name, "bytea") => (name, "decode(lpad(to_hex(n), 32, '0'), 'hex')"),
            (name, "timestamp with time zone") => (name, "now() - n * interval '1 second'"),
            (name, "bigint" | "double precision") => (name, "n"),
            (name, other) => panic!("no value for {table}.{name} of type {other}"),
        })
        .unzip();
    let (names, values) = (names.join(", "), values.join(", "));
    let insert = format!(
        "set session_replication_role = replica;
         insert into {table} ({names}) select {values} from generate_series(1, {rows}) n;
         analyze {table};"
    );
    sql::execute(url, &insert).await;
}

/// The longest time for which a lock that blocks writes was held, and all such locks. A lower bound, so that a slow
/// poll on a loaded machine does not lengthen it: from the answer of the first poll that saw a lock to the question of
/// the last.
async fn watch_locks(url: &str, tables: &[String], end: &watch::Receiver<bool>) -> (Duration, BTreeSet<String>) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let mut polls = interval(Duration::from_millis(2));
    let (mut since, mut longest, mut locks) = (None, Duration::ZERO, BTreeSet::new());
    while !*end.borrow() {
        polls.tick().await;
        let asked = Instant::now();
        let query = sqlx::query_scalar(
            "select relname || ' ' || mode
               from pg_locks
               join pg_class on pg_class.oid = relation
              where database = (select oid from pg_database where datname = current_database())
                and granted and locktype = 'relation' and relname = any ($1)
                and mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')",
        );
        let held: Vec<String> = query.bind(tables).fetch_all(&mut connection).await.unwrap();
        if held.is_empty() {
            since = None;
        } else {
            longest = longest.max(asked.saturating_duration_since(*since.get_or_insert_with(Instant::now)));
            locks.extend(held);
        }
    }
    (longest, locks)
}

/// Reads or writes a row of each table all the time; returns the longest time that a statement took.
async fn read_and_write(url: &str, tables: &[String], writes: bool, end: &watch::Receiver<bool>) -> Duration {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let mut slowest = Duration::ZERO;
    let mut pauses = interval(Duration::from_millis(2));
    while !*end.borrow() {
        for table in tables.iter().filter(|_| !*end.borrow()) {
            pauses.tick().await;
            let statement = if writes {
                format!("update {table} set partner_id = partner_id where ctid = (select ctid from {table} limit 1)")
            } else {
                format!("select 1 from {table} limit 1")
            };
            let asked = Instant::now();
            match sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await {
                Ok(_) => slowest = slowest.max(asked.elapsed()),
                // A migration has dropped it.
                Err(error) => assert_eq!(code(&error).as_deref(), Some("42P01"), "{error}"),
            }
        }
        tokio::task::yield_now().await;
    }
    slowest
}

fn code(error: &sqlx::Error) -> Option<String> {
    error.as_database_error()?.code().map(std::borrow::Cow::into_owned)
}

/// The number of the newest migration of the last release. `bash .ci/run upgrade` compares it with the commit.
fn released() -> i64 {
    let released = include_str!("../../../.ci/released").lines().find(|line| !line.starts_with('#'));
    let (_commit, newest) = released.and_then(|line| line.split_once(' ')).expect("a commit and a number");
    newest.parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "fills tables with a million rows and measures time: `bash .ci/run alone` runs it"]
async fn no_new_migration_blocks_requests_on_a_table_of_a_million_rows() {
    let name = "migrations::table_locks::no_new_migration_blocks_requests_on_a_table_of_a_million_rows";
    if !Engine::Postgres.is_there_for(name).await {
        return;
    }
    let started = Instant::now();
    let more = [samples::expanding(Engine::Postgres), samples::contracting(Engine::Postgres), &samples::BLOCKING];
    let migrations = samples::and_then(Engine::Postgres, &more.concat());
    let released = released();
    let (applied, new): (Vec<_>, Vec<_>) =
        migrations.iter().cloned().partition(|migration| migration.version <= released);
    let database = empty(Engine::Postgres).await;
    migrate_with(&Migrator::with_migrations(applied.clone()), &settings(&database, PATIENCE)).await.unwrap();
    let rows = number_from_environment("ROWS", 1_000_000);
    let mut full = Full { database, applied, rows, filled: BTreeMap::new() };
    let mut report = Vec::new();
    for migration in &new {
        let text = migration.sql.as_str();
        let effect = Box::pin(full.effect(migration)).await;
        report.push(format!("{}: {effect:?}", text.lines().next().unwrap_or_default()));
        if migration.no_tx {
            assert!(effect.locks.is_empty(), "runs concurrently: {text}: {effect:?}");
        }
        let expected = samples::BLOCKING.contains(&text);
        assert_eq!(effect.blocks(), expected, "whether it blocks requests: {text}\n{report:#?}");
    }
    report.push(format!("{rows} rows, filled in {:.1?}, {:.1?} in all\n", full.filled, started.elapsed()));
    std::io::stderr().write_all(report.join("\n").as_bytes()).unwrap();
}
