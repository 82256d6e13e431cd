//! An unreachable, overloaded or unmigrated database is distinguished from a faulty request.

use std::time::Duration;

use device_management::store::{DatabaseSettings, DatabaseUrl, StoreError, connect, migrate};
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, PgConnection};
use tokio::sync::mpsc;

use super::{SALT, TestStore, acceptance, acme, binding, challenge_id, device_id, person, record, settings};
use crate::harness::{Engine, PostgresServer, Schema, Start, TestDatabase, can_start_servers_for, on_both_databases};

on_both_databases![a_closed_store_is_unavailable, a_database_without_tables_is_not_migrated];

async fn a_closed_store_is_unavailable(it: TestStore) {
    let ada = person("ada");
    it.verified(&acme(), &ada).await;
    let attempt = binding(&ada, 1);
    it.open(&acme(), &attempt).await;
    it.close().await;
    assert_transient(it.ready().await);
    assert_transient(it.device(&acme(), attempt.id.bound_device()).await);
    assert_transient(it.accept_binding(&acme(), &acceptance(&attempt), &record()).await);
    assert_transient(it.delete_device(&acme(), attempt.id.bound_device(), super::now(), &record(), SALT).await);
}

/// A database without tables.
struct Empty(TestDatabase);

impl Start for Empty {
    async fn start(engine: Engine) -> Self {
        static NOTHING: Schema = Schema::new(|_| Box::pin(async {}));
        Self(NOTHING.database(engine).await)
    }
}

async fn a_database_without_tables_is_not_migrated(Empty(database): Empty) {
    let settings = settings(&database);
    let store = connect(&settings).await.unwrap();
    assert!(matches!(store.ready().await, Err(StoreError::NotMigrated)));
    // A missing migration is not transient: waiting does not help.
    assert!(!store.device(&acme(), device_id(1)).await.unwrap_err().is_transient());
    migrate(&settings).await.unwrap();
    store.ready().await.unwrap();
    migrate(&settings).await.unwrap();
    assert!(store.device(&acme(), device_id(1)).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_start_together_migrate_once() {
    if !Engine::Postgres.is_there_for("store::outages::replicas_that_start_together_migrate_once").await {
        return;
    }
    let Empty(database) = Empty::start(Engine::Postgres).await;
    let migrations: Vec<_> = (0..4)
        .map(|_| {
            let settings = settings(&database);
            tokio::spawn(async move { migrate(&settings).await })
        })
        .collect();
    for migration in migrations {
        migration.await.unwrap().unwrap();
    }
    connect(&settings(&database)).await.unwrap().ready().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_server_is_unavailable_until_it_is_back() {
    if !can_start_servers_for("store::outages::a_stopped_server_is_unavailable_until_it_is_back") {
        return;
    }
    let mut server = PostgresServer::start(&[]).unwrap();
    let mut settings = DatabaseSettings::new(DatabaseUrl::parse(&server.url("postgres")).unwrap());
    settings.acquire_timeout = Duration::from_millis(200);
    migrate(&settings).await.unwrap();
    let store = connect(&settings).await.unwrap();
    store.ready().await.unwrap();

    server.stop().unwrap();
    for _ in 0..2 {
        assert_transient(store.device(&acme(), device_id(1)).await);
        assert_transient(store.close_binding(&acme(), challenge_id(1), super::now(), None, &record()).await);
        assert_transient(store.ready().await);
    }
    assert_transient(connect(&settings).await);

    server.start_again().unwrap();
    settings.acquire_timeout = Duration::from_secs(5);
    assert!(store.device(&acme(), device_id(1)).await.unwrap().is_none());
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_waits_too_long_for_a_lock_is_unavailable() {
    if !Engine::Postgres.is_there_for("store::outages::a_statement_that_waits_too_long_for_a_lock_is_unavailable").await
    {
        return;
    }
    let it = TestStore::start(Engine::Postgres).await;
    let ada = person("ada");
    it.verified(&acme(), &ada).await;
    it.open(&acme(), &binding(&ada, 1)).await;
    let mut settings = settings(&it.database);
    settings.statement_timeout = Duration::from_millis(50);
    let impatient = connect(&settings).await.unwrap();

    let mut other = PgConnection::connect(it.database.url()).await.unwrap();
    let mut lock = other.begin().await.unwrap();
    sqlx::query("select person_id from person for update").fetch_all(&mut *lock).await.unwrap();
    assert_transient(impatient.accept_binding(&acme(), &acceptance(&binding(&ada, 1)), &record()).await);
    lock.rollback().await.unwrap();
    // Nothing was changed, and the same call succeeds later.
    it.bind(&acme(), &binding(&ada, 1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sqlite_writer_that_waits_too_long_for_the_write_pool_is_unavailable() {
    let it = TestStore::start(Engine::Sqlite).await;
    let ada = person("ada");
    it.verified(&acme(), &ada).await;
    it.open(&acme(), &binding(&ada, 1)).await;
    let mut settings = settings(&it.database);
    settings.acquire_timeout = Duration::from_millis(50);
    let impatient = connect(&settings).await.unwrap();

    let mut other = SqliteConnection::connect(it.database.url()).await.unwrap();
    let lock = other.begin_with("begin immediate").await.unwrap();
    // One writer waits for the file, the second for the first, until the timeout. Readers do not wait.
    let (report, mut reports) = mpsc::channel(2);
    for _ in 0..2 {
        let (impatient, report) = (impatient.clone(), report.clone());
        tokio::spawn(async move {
            report
                .send(impatient.close_binding(&acme(), challenge_id(1), super::now(), None, &record()).await)
                .await
                .unwrap();
        });
    }
    assert_transient(reports.recv().await.unwrap());
    assert!(impatient.device(&acme(), device_id(1)).await.unwrap().is_none());
    assert!(it.is_open(&acme(), challenge_id(1)).await);
    lock.rollback().await.unwrap();
    reports.recv().await.unwrap().unwrap();
    assert!(!it.is_open(&acme(), challenge_id(1)).await);
}

#[track_caller]
fn assert_transient<T>(outcome: Result<T, StoreError>) {
    match outcome {
        Ok(_) => panic!("the call succeeded without the database"),
        Err(error) => assert!(error.is_transient(), "{error:?}"),
    }
}
