//! Faults of a Postgres server, of what is in front of it, and of the role.

use sqlx::{Connection, PgConnection};

use super::Report;
use crate::binary::run;
use crate::grants::{AUDITOR, Granted, OWNER, SERVICE};
use crate::harness::pgbouncer::PgBouncer;
use crate::harness::{Engine, PostgresServer, Program, Start, TestDatabase, can_start_servers_for, sql};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_and_excess_privileges_are_those_that_postgres_reports() {
    if !can_start_servers_for("doctor::roles::missing_and_excess_privileges_are_those_that_postgres_reports") {
        return;
    }
    let (_server, server) = Granted::from_the_document().await;
    let (owner, service) = (server.url_of(OWNER), server.program(SERVICE));
    let healthy = Report::of(&service);
    assert_eq!((healthy.code, healthy.with_status("failure")), (0, vec![]));
    for id in ["database.role", "database.grants", "database.connections", "database.clock", "database.version"] {
        assert_eq!(healthy.status(id), "ok", "{:#}", healthy.check(id));
    }

    // An error of the check of clients is not one of the others.
    sql::execute(&owner, "revoke select on client from device_management").await;
    sql::execute(&owner, "revoke insert, delete on audit_pending from device_management").await;
    let report = Report::of(&service);
    assert_eq!((report.code, report.with_status("failure")), (1, vec!["database.grants"]));
    report.assert("database.grants", "failure", "lacks delete, insert on audit_pending; select on client");
    report.assert("clients", "skipped", "lacks the privilege");
    assert_eq!(report.status("audit.pending"), "ok");
    let lacking = "select string_agg(privilege || ' on ' || name, ', ' order by name, privilege)
                     from (values ('audit_pending', 'insert'), ('audit_pending', 'delete'), ('audit_pending', 'select'),
                                  ('client', 'select'), ('client', 'insert')) as t (name, privilege)
                    where not has_table_privilege('device_management', name, privilege)";
    assert_eq!(
        sql::texts(&owner, lacking).await,
        ["delete on audit_pending, insert on audit_pending, select on client"]
    );
    sql::execute(&owner, include_str!("../../../docker/grants.sql")).await;

    sql::execute(&owner, "grant update, truncate on audit_event to device_management").await;
    let report = Report::of(&service);
    assert_eq!(report.code, 0);
    report.assert("database.grants", "warning", "unneeded privileges: truncate, update on audit_event");

    Report::of(&server.program(OWNER)).assert("database.role", "warning", "owns the tables");
    let auditor = Report::of(&server.program(AUDITOR));
    assert_eq!(auditor.with_status("failure"), ["database.grants"]);
    auditor.assert("clients", "skipped", "lacks the privilege");
    auditor.assert("clients.secrets", "skipped", "see clients");
    auditor.assert("clients.without_secret", "skipped", "see clients");
    assert_eq!(auditor.status("audit.pending"), "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_of_other_roles_leave_less_for_the_service_and_those_of_replicas_do_not() {
    let test = "doctor::roles::connections_of_other_roles_leave_less_for_the_service_and_those_of_replicas_do_not";
    if !can_start_servers_for(test) {
        return;
    }
    let server = PostgresServer::start(&[("max_connections", "20")]).unwrap();
    let program = Program::new().with("DATABASE_URL", &server.url("postgres")).with("DATABASE_MAX_CONNECTIONS", "14");
    assert_eq!(run(&program, &["migrate"]).0, 0);
    sql::execute(&server.url("postgres"), "create role other login password 'example'").await;
    let url = server.url("postgres");
    let other = format!("postgres://other:example@{}", url.split_once('@').unwrap().1);
    let mut open = Vec::new();
    for (url, number, status) in [(&url, 5, "ok"), (&other, 4, "warning")] {
        for _ in 0..number {
            open.push(PgConnection::connect(url).await.unwrap());
        }
        Report::of(&program).assert("database.connections", status, "of 20 connections are in use");
    }
    Report::of(&program).assert("database.connections", "warning", "4 by other roles (3 reserved)");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_superuser_and_a_server_without_fsync_are_warnings() {
    let test = "doctor::roles::a_superuser_and_a_server_without_fsync_are_warnings";
    if !can_start_servers_for(test) {
        return;
    }
    let server = PostgresServer::start(&[("max_connections", "20")]).unwrap();
    let program = Program::new().with("DATABASE_URL", &server.url("postgres"));
    assert_eq!(run(&program, &["migrate"]).0, 0);
    let report = Report::of(&program.clone().with("DATABASE_MAX_CONNECTIONS", "18"));
    report.assert("database.role", "warning", "is a superuser");
    report.assert("database.fsync", "warning", "`fsync` is off");
    report.assert("database.full_page_writes", "warning", "`full_page_writes` is off");
    report.assert("database.connections", "failure", "of 20 connections");
    report.assert("database.transport", "ok", "not encrypted");
    report.assert("housekeeping", "warning", "never run");
    let latin = "create database latin encoding 'LATIN1' lc_collate 'C' lc_ctype 'C' template template0";
    sql::execute(&server.url("postgres"), latin).await;
    let report = Report::of(&Program::new().with("DATABASE_URL", &server.url("latin")));
    report.assert("database.encoding", "failure", "LATIN1");
    let standby = server.standby().unwrap();
    let report = Report::of(&Program::new().with("DATABASE_URL", &standby.url("postgres")));
    assert_eq!(report.with_status("failure"), ["database.writable"]);
    report.assert("database.writable", "failure", "standby");
    assert_eq!(report.status("database.migrations"), "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_collation_version_is_a_warning() {
    let test = "doctor::roles::a_changed_collation_version_is_a_warning";
    if !can_start_servers_for(test) {
        return;
    }
    let server = PostgresServer::start(&[]).unwrap();
    // Collations of libc have a version only if the machine has locales.
    let create = "create database sorted locale_provider icu icu_locale 'en' encoding 'UTF8' template template0";
    sql::execute(&server.url("postgres"), create).await;
    let program = Program::new().with("DATABASE_URL", &server.url("sorted"));
    assert_eq!(Report::of(&program).status("database.collation"), "ok");
    let upgraded = "update pg_database set datcollversion = '0' where datname = 'sorted'";
    sql::execute(&server.url("postgres"), upgraded).await;
    Report::of(&program).assert("database.collation", "warning", "lookups may miss rows");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_that_the_settings_do_not_name_is_a_failure() {
    let test = "doctor::roles::a_pooler_that_the_settings_do_not_name_is_a_failure";
    if !Engine::Postgres.is_there_for(test).await || !PgBouncer::is_there_for(test) {
        return;
    }
    let database = TestDatabase::start(Engine::Postgres).await;
    for ignored in ["", "options"] {
        let pooler = PgBouncer::to(database.url(), ignored);
        let program = Program::new().with("DATABASE_URL", pooler.url()).with("MIGRATE_ON_START", "false");
        let report = Report::of(&program);
        assert_eq!(report.with_status("failure"), ["database.pooler"]);
        assert_eq!(report.status("database.migrations"), "ok");
        let report = Report::of(&program.with("DATABASE_POOLER", "transaction"));
        assert_eq!(report.with_status("failure"), [""; 0]);
        assert_eq!(report.status("database.pooler"), "ok");
    }
    let direct = super::on(&database).with("DATABASE_POOLER", "transaction");
    Report::of(&direct).assert("database.pooler", "warning", "no pooler switches sessions");
}
