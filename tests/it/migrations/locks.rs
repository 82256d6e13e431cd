//! Locks of migrations: what they wait for, and which requests they block.

use std::time::{Duration, Instant};

use device_management::store::{DatabaseSettings, DatabaseUrl, StoreError, migrate, migrate_with};
use sqlx::migrate::{Migrate, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnection;
use sqlx::{ConnectOptions, Connection, PgConnection};

use super::{empty, samples};
use crate::binary::{exit_code, fail, run, sandbox_on};
use crate::harness::{Engine, Process, Program, Start, TestApp, TestDatabase, sql};

/// Timeout of each step, for a loaded machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn settings(database: &TestDatabase, limit: Duration) -> DatabaseSettings {
    let url = DatabaseUrl::parse(database.url()).unwrap();
    DatabaseSettings { migrate_lock_timeout: limit, ..DatabaseSettings::new(url) }
}

/// A session of another program, by the name that it gives itself.
async fn session(database: &TestDatabase, name: &str) -> PgConnection {
    let options: PgConnectOptions = database.url().parse().unwrap();
    options.application_name(name).connect().await.unwrap()
}

fn with_limit(database: &TestDatabase, seconds: &str) -> Program {
    sandbox_on(database).with("MIGRATE_LOCK_TIMEOUT_SECONDS", seconds)
}

/// The migrations of this build, and one more.
fn and_then(sql: &'static str) -> Migrator {
    samples::and_then(Engine::Postgres, &[sql])
}

/// Here sqlx takes the lock, as sqlx-cli does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_for_a_held_migration_lock_is_logged_and_times_out() {
    if !Engine::Postgres.is_there_for("migrations::locks::a_lock_that_another_session_keeps").await {
        return;
    }
    let database = empty(Engine::Postgres).await;
    let mut other = session(&database, "a forgotten console").await;
    other.lock().await.unwrap();
    for command in ["migrate", "serve"] {
        let (code, logs) = fail(&with_limit(&database, "5"), &[command]);
        assert_eq!(code, 1, "{logs}");
        let warning = logs.lines().find(|line| line.contains("waiting for the migration lock")).expect(&logs);
        assert!(warning.contains("a forgotten console") && warning.contains("given up after 5 s"), "{logs}");
        let last = logs.lines().last().unwrap();
        assert!(last.contains("gave up after") && last.contains("MIGRATE_LOCK_TIMEOUT_SECONDS"), "{logs}");
        assert!(!logs.contains("pg_advisory_lock"), "the log contains no query: {logs}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_lock_released_in_time_only_delays_the_migration() {
    if !Engine::Postgres.is_there_for("migrations::locks::a_lock_that_becomes_free_in_time").await {
        return;
    }
    let database = empty(Engine::Postgres).await;
    let mut other = session(&database, "another replica").await;
    other.lock().await.unwrap();
    let migration = with_limit(&database, "60").start(&["migrate"]);
    migration.wait_for_log("waiting for the migration lock", PATIENCE);
    other.close().await.unwrap();
    assert_eq!(exit_code(&migration), 0, "{:?}", migration.logs());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_up_to_date_database_needs_no_migration_lock() {
    if !Engine::Postgres.is_there_for("migrations::locks::an_up_to_date_database_needs_no_migration_lock").await {
        return;
    }
    let database = TestDatabase::start(Engine::Postgres).await;
    let mut other = session(&database, "another replica").await;
    other.lock().await.unwrap();
    assert_eq!(run(&with_limit(&database, "1"), &["migrate"]).0, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_transaction_blocks_a_migration_but_no_request() {
    if !Engine::Postgres.is_there_for("migrations::locks::a_long_transaction_holds_up").await {
        return;
    }
    let app = TestApp::start(Engine::Postgres).await;
    let mut other = session(&app.database, "a report").await;
    let mut report = other.begin().await.unwrap();
    sqlx::query("select count(*) from device").execute(&mut *report).await.unwrap();

    let settings = settings(&app.database, Duration::from_mins(1));
    let migration = tokio::spawn(async move {
        let migrations = and_then("alter table device add column colour text");
        migrate_with(&migrations, &settings).await
    });
    let started = Instant::now();
    let partner = app.partner();
    let mut slowest = Duration::ZERO;
    while started.elapsed() < Duration::from_secs(7) {
        let asked = Instant::now();
        partner.get("/v1/mfa/devices").await.assert_status(200);
        slowest = slowest.max(asked.elapsed());
    }
    assert!(slowest < Duration::from_secs(4), "a request waited {slowest:?} behind the migration");
    assert!(!migration.is_finished(), "the report still holds the table");
    report.rollback().await.unwrap();
    migration.await.unwrap().unwrap();
    assert_eq!(sql::texts(app.database.url(), "select colour from device").await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_times_out_waiting_for_a_table() {
    if !Engine::Postgres.is_there_for("migrations::locks::a_table_that_does_not_become_free").await {
        return;
    }
    let database = TestDatabase::start(Engine::Postgres).await;
    let mut other = session(&database, "a report").await;
    let mut report = other.begin().await.unwrap();
    sqlx::query("lock table device in row exclusive mode").execute(&mut *report).await.unwrap();
    for (text, what) in [
        ("alter table device add column colour text", "a table of migration 9000000"),
        (
            "-- no-transaction\ncreate index concurrently if not exists by_name on device (name);",
            "an older transaction than migration 9000000",
        ),
    ] {
        let refused = migrate_with(&and_then(text), &settings(&database, Duration::from_secs(4))).await.unwrap_err();
        let StoreError::LockNotFree { what: told, holders, .. } = &refused else { panic!("{refused:?}") };
        assert!(told.contains(what) && holders.contains("a report"), "{refused}");
    }
    // The unfinished index is dropped once the table is free.
    report.rollback().await.unwrap();
    let text = "-- no-transaction\ncreate index concurrently if not exists by_name on device (name);";
    migrate_with(&and_then(text), &settings(&database, Duration::from_secs(30))).await.unwrap();
    assert_eq!(invalid_indexes(&database).await, Vec::<String>::new());
    let built = "select indexname::text from pg_indexes where indexname = 'by_name'";
    assert_eq!(sql::texts(database.url(), built).await, ["by_name"]);
}

async fn invalid_indexes(database: &TestDatabase) -> Vec<String> {
    sql::texts(database.url(), "select indexrelid::regclass::text from pg_index where not indisvalid").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unfinished_index_is_rebuilt() {
    if !Engine::Postgres.is_there_for("migrations::locks::an_index_that_was_left_unfinished").await {
        return;
    }
    let database = TestDatabase::start(Engine::Postgres).await;
    let migrations = and_then("-- no-transaction\ncreate index concurrently if not exists by_name on device (name);");
    migrate_with(&migrations, &settings(&database, PATIENCE)).await.unwrap();
    sql::execute(
        database.url(),
        "delete from _sqlx_migrations where version = 9000000;
         update pg_index set indisvalid = false where indexrelid = 'by_name'::regclass;",
    )
    .await;
    assert_eq!(invalid_indexes(&database).await, ["by_name"]);
    migrate_with(&migrations, &settings(&database, PATIENCE)).await.unwrap();
    assert_eq!(invalid_indexes(&database).await, Vec::<String>::new());
    // Also one that was finished but not recorded as applied.
    sql::execute(database.url(), "delete from _sqlx_migrations where version = 9000000").await;
    migrate_with(&migrations, &settings(&database, PATIENCE)).await.unwrap();
    assert_eq!(invalid_indexes(&database).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timeouts_of_the_role_do_not_apply_to_migrations() {
    if !Engine::Postgres.is_there_for("migrations::locks::timeouts_of_the_role_do_not_apply_to_migrations").await {
        return;
    }
    let database = empty(Engine::Postgres).await;
    let limits = "do $$ begin
        execute format('alter database %I set statement_timeout = %L', current_database(), '1ms');
        execute format('alter database %I set lock_timeout = %L', current_database(), '1ms');
    end $$";
    sql::execute(database.url(), limits).await;
    migrate(&settings(&database, PATIENCE)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_for_a_locked_sqlite_file_is_logged_and_times_out() {
    for hold in ["begin immediate", "begin exclusive"] {
        let database = empty(Engine::Sqlite).await;
        let mut other = SqliteConnection::connect(database.url()).await.unwrap();
        let lock = other.begin_with(hold).await.unwrap();
        let (code, logs) = fail(&with_limit(&database, "5"), &["migrate"]);
        assert_eq!(code, 1, "{logs}");
        assert!(logs.contains("waiting for the SQLite file"), "{logs}");
        let last = logs.lines().last().unwrap();
        assert!(last.contains("held by another process") && last.contains("MIGRATE_LOCK_TIMEOUT_SECONDS"), "{logs}");

        let migration = with_limit(&database, "60").start(&["migrate"]);
        migration.wait_for_log("waiting for the SQLite file", PATIENCE);
        lock.rollback().await.unwrap();
        assert_eq!(exit_code(&migration), 0, "{:?}", migration.logs());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_migrations_of_one_sqlite_file_all_succeed() {
    for _ in 0..3 {
        let database = empty(Engine::Sqlite).await;
        let all: Vec<Process> = (0..5).map(|_| with_limit(&database, "60").start(&["migrate"])).collect();
        for migration in all {
            assert_eq!(exit_code(&migration), 0, "{:?}", migration.logs());
        }
    }
}
