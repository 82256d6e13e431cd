//! Faults of the database.

use std::net::TcpListener;

use super::{Report, on};
use crate::harness::{PostgresServer, Program, TestDatabase, can_start_servers_for, free_port, on_both_databases, sql};

on_both_databases![
    a_missing_migration_and_an_unknown_one_are_failures,
    pending_migrations_are_a_warning_if_serve_applies_them,
];

const SECRET: &str = "hunter2-is-a-secret";

async fn a_missing_migration_and_an_unknown_one_are_failures(database: TestDatabase) {
    let program = on(&database);
    sql::execute(database.url(), "update _sqlx_migrations set version = 9999").await;
    let report = Report::of(&program);
    assert_eq!(report.code, 1);
    report.assert("database.migrations", "failure", "migration 9999 is applied, and this build does not know it");
    sql::execute(database.url(), "update _sqlx_migrations set version = 1, success = false").await;
    Report::of(&program).assert("database.migrations", "failure", "migration 1 failed halfway");
    sql::execute(database.url(), "update _sqlx_migrations set success = true, checksum = checksum || checksum").await;
    Report::of(&program).assert("database.migrations", "failure", "migration 1 was edited");
    sql::execute(database.url(), "delete from _sqlx_migrations").await;
    Report::of(&program).assert("database.migrations", "failure", "pending migrations: 1");
}

async fn pending_migrations_are_a_warning_if_serve_applies_them(database: TestDatabase) {
    sql::execute(database.url(), "drop table _sqlx_migrations").await;
    let report = Report::of(&on(&database).with("MIGRATE_ON_START", "true"));
    report.assert("database.migrations", "warning", "pending migrations: 1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_database_or_a_refused_login_skips_its_checks() {
    if !can_start_servers_for("doctor::database::an_unreachable_database_or_a_refused_login_skips_its_checks") {
        return;
    }
    let server = PostgresServer::start(&[]).unwrap();
    let right = reqwest::Url::parse(&server.url("postgres")).unwrap();
    let (mut wrong_password, mut wrong_port, mut wrong_name) = (right.clone(), right.clone(), right.clone());
    wrong_password.set_password(Some(SECRET)).unwrap();
    wrong_port.set_port(Some(free_port())).unwrap();
    wrong_name.set_path("/nowhere");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let hanging = format!("postgres://u:{SECRET}@{}/x", silent.local_addr().unwrap());
    let unresolvable = format!("postgres://u:{SECRET}@db.invalid/x?sslmode=verify-full");
    for (url, found) in [
        (wrong_password.as_str(), "28P01"),
        (wrong_port.as_str(), "refused"),
        (wrong_name.as_str(), "3D000"),
        (&unresolvable, "cannot be reached"),
        (&hanging, "did not answer within 2 s"),
    ] {
        let report = Report::of(&Program::new().with("DATABASE_URL", url));
        assert_eq!(report.code, 1);
        report.assert("database.connection", "failure", found);
        assert_eq!(report.with_status("failure"), ["database.connection"]);
        assert_eq!(report.status("database.grants"), "skipped");
        let text = report.json.to_string();
        let password = reqwest::Url::parse(url).unwrap().password().unwrap().to_owned();
        assert!(!text.contains(&password) && !text.contains("postgres://"), "{text}");
    }
}
