//! Tests of the harness: isolated databases, servers that crash and restart, waits for processes without sleeps.

use std::process::Command;
use std::time::Duration;

use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::harness::{
    Engine, PostgresServer, Process, Schema, Start, TestDatabase, can_start_servers_for, on_both_databases,
};

/// A schema of one table, so that these tests do not depend on the service's schema.
static NOTES: Schema = Schema::new(|url| {
    Box::pin(async move {
        execute(&url, "create table note (text text not null)").await.expect("a valid statement");
    })
});

/// Two databases of one test.
struct TwoDatabases(TestDatabase, TestDatabase);

impl Start for TwoDatabases {
    async fn start(engine: Engine) -> Self {
        Self(NOTES.database(engine).await, NOTES.database(engine).await)
    }
}

on_both_databases![a_row_is_visible_only_in_its_own_database, a_dropped_database_no_longer_exists];

async fn a_row_is_visible_only_in_its_own_database(TwoDatabases(one, other): TwoDatabases) {
    execute(one.url(), "insert into note (text) values ('here')").await.unwrap();
    assert_eq!(notes(one.url()).await.unwrap(), 1);
    assert_eq!(notes(other.url()).await.unwrap(), 0);
}

async fn a_dropped_database_no_longer_exists(TwoDatabases(one, other): TwoDatabases) {
    let url = one.url().to_owned();
    drop(one);
    // The administrator handles its orders in sequence: once this database exists, the other one is dropped.
    let later = NOTES.database(other.engine()).await;
    assert_eq!(notes(later.url()).await.unwrap(), 0);
    notes(&url).await.unwrap_err();
}

#[tokio::test]
async fn a_restarted_server_keeps_its_settings_and_rows() {
    if !can_start_servers_for("harness_works::a_restarted_server_keeps_its_settings_and_rows") {
        return;
    }
    let mut server = PostgresServer::start(&[("application_name", r"it's a \ test")]).unwrap();
    let url = server.url("postgres");
    let first = server.pid();
    execute(&url, "create table note as select current_setting('application_name') as text").await.unwrap();
    server.stop().unwrap();
    notes(&url).await.unwrap_err();
    server.start_again().unwrap();
    assert_ne!(server.pid(), first);
    let kept = "delete from note where text = current_setting('application_name') and text = 'it''s a \\ test'";
    assert_eq!(execute(&url, kept).await.unwrap(), 1);
}

#[test]
fn a_failed_start_reports_the_reason() {
    if can_start_servers_for("harness_works::a_failed_start_reports_the_reason") {
        let report = PostgresServer::start(&[("max_connections", "many")]).err().unwrap();
        assert!(report.contains("max_connections"), "{report}");
    }
}

#[test]
fn logs_output_and_exit_code_of_a_process_are_captured() {
    let process = shell("trap 'echo bye >&2; exit 3' TERM; echo data; echo ready >&2; while :; do :; done");
    assert_eq!(process.wait_for_log("read", Duration::from_secs(10)), "ready");
    process.terminate();
    assert_eq!(process.wait(Duration::from_secs(10)).code(), Some(3));
    assert_eq!(process.logs(), ["ready", "bye"]);
    assert_eq!(process.output(), ["data"]);
    process.terminate();
}

#[test]
#[should_panic(expected = "no log line with \"ready\"; its log:\nno luck")]
fn a_wait_for_a_log_line_fails_when_the_process_ends() {
    shell("echo no luck >&2").wait_for_log("ready", Duration::from_hours(1));
}

#[test]
#[should_panic(expected = "the process did not end; its log:\nstill here")]
fn a_wait_for_the_end_of_a_process_fails_at_the_deadline() {
    let process = shell("echo still here >&2; exec sleep 60");
    process.wait_for_log("still here", Duration::from_secs(10));
    process.wait(Duration::from_millis(1));
}

/// A shell script in place of the service.
fn shell(script: &str) -> Process {
    Process::start(Command::new("sh").args(["-c", script]))
}

/// Runs one statement on a separate connection; returns the number of affected rows.
async fn execute(url: &str, statement: &str) -> sqlx::Result<u64> {
    let statement = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()));
    if url.starts_with("sqlite:") {
        let mut connection = SqliteConnection::connect(url).await?;
        let rows = statement.execute(&mut connection).await?.rows_affected();
        connection.close().await.map(|()| rows)
    } else {
        let mut connection = PgConnection::connect(url).await?;
        let rows = statement.execute(&mut connection).await?.rows_affected();
        connection.close().await.map(|()| rows)
    }
}

/// The number of notes in a database.
async fn notes(url: &str) -> sqlx::Result<i64> {
    const COUNT: &str = "select count(*) from note";
    if url.starts_with("sqlite:") {
        sqlx::query_scalar(COUNT).fetch_one(&mut SqliteConnection::connect(url).await?).await
    } else {
        sqlx::query_scalar(COUNT).fetch_one(&mut PgConnection::connect(url).await?).await
    }
}
