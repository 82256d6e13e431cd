//! Settings of the role and of the database that change what a session does: none of them reaches the service.

use device_management::store::{DatabaseSettings, DatabaseUrl, migrate};
use serde_json::json;

use super::main_flows;
use crate::harness::pgbouncer::PgBouncer;
use crate::harness::{Phone, PostgresServer, TestApp, TestClient, can_start_servers_for, sql};

/// So many requests for one person at once.
const AT_ONCE: u32 = 60;

/// Every setting that an operator can give a role or a database and that has an effect on statements, none as the service
/// needs it or as it is by default.
const OTHERWISE: &str = "
    default_transaction_isolation = 'serializable'
    default_transaction_deferrable = on
    synchronous_commit = off
    search_path = elsewhere, pg_catalog
    standard_conforming_strings = off
    escape_string_warning = on
    backslash_quote = on
    transform_null_equals = on
    array_nulls = off
    \"DateStyle\" = 'SQL, DMY'
    \"IntervalStyle\" = 'sql_standard'
    \"TimeZone\" = 'Pacific/Apia'
    bytea_output = 'escape'
    client_encoding = 'LATIN1'
    extra_float_digits = -15
    row_security = off
    client_min_messages = 'debug1'
    plan_cache_mode = 'force_custom_plan'
    enable_seqscan = off
    quote_all_identifiers = on
    statement_timeout = '1ms'
    lock_timeout = '1ms'
    idle_in_transaction_session_timeout = '1ms'
    idle_session_timeout = '1ms'
    default_text_search_config = 'german'
    xmloption = 'document'
    gin_fuzzy_search_limit = 1";

/// Keeps the settings of the database from the test's own connections.
const NOT_FOR_THE_TEST: &str = "
    alter role postgres set search_path = public;
    alter role postgres set statement_timeout = 0;
    alter role postgres set lock_timeout = 0;
    alter role postgres set idle_in_transaction_session_timeout = 0;
    alter role postgres set idle_session_timeout = 0;
    alter role postgres set client_min_messages = notice;
    alter role postgres set default_transaction_isolation = 'read committed'";

/// A role that may work in the database. In its own search path there is another table with a name of ours.
const ROLE: &str = "
    create role service login password 'word';
    grant create, usage on schema public to service;
    create schema elsewhere authorization service;
    create table elsewhere.mobile_number (x int);
    alter table elsewhere.mobile_number owner to service";

/// A server on which the role `service` works under all these settings, and the role's URL. The tables are made under them.
async fn otherwise(of: &str) -> (PostgresServer, String) {
    let server = PostgresServer::start(&[]).unwrap();
    let admin = server.url("postgres");
    sql::execute(&admin, NOT_FOR_THE_TEST).await;
    sql::execute(&admin, ROLE).await;
    for setting in OTHERWISE.lines().filter(|line| !line.trim().is_empty()) {
        sql::execute(&admin, &format!("alter {of} set {setting}")).await;
    }
    let (_, place) = admin.split_once('@').unwrap();
    let url = format!("postgres://service:word@{place}");
    migrate(&DatabaseSettings::new(DatabaseUrl::parse(&url).unwrap())).await.unwrap();
    (server, url)
}

async fn works_all_the_same(app: &TestApp, acme: &TestClient) {
    main_flows(app, acme, "ada", 1).await;
    all_at_once(app, acme).await;
}

/// Parallel requests for one person wait for each other instead of failing.
async fn all_at_once(app: &TestApp, acme: &TestClient) {
    acme.verified_person("bob").await;
    let requests: Vec<_> = (0..AT_ONCE)
        .map(|number| {
            let acme = acme.clone();
            tokio::spawn(async move {
                let wish = json!({"person_id": "bob", "key_type": "ecdsa-p256", "key": Phone::new(100 + number).key()});
                acme.post("/v1/mfa/devices", wish).await
            })
        })
        .collect();
    let mut accepted = 0;
    for request in requests {
        let answer = request.await.unwrap();
        assert!(answer.status.as_u16() < 500, "{} {:?}", answer.status, answer.body);
        accepted += usize::from(answer.status == 202);
    }
    assert!(accepted > 0);
    // Two went out before.
    assert_eq!(app.outbox().messages().len(), accepted + 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_of_the_role_change_nothing() {
    if can_start_servers_for("database::sessions::settings_of_the_role_change_nothing") {
        let (server, url) = otherwise("role service").await;
        let app = TestApp::at(&server.url("postgres"), &[("DATABASE_URL", &url)]).await;
        works_all_the_same(&app, &app.partner()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_of_the_database_change_nothing() {
    if can_start_servers_for("database::sessions::settings_of_the_database_change_nothing") {
        let (server, url) = otherwise("database postgres").await;
        let app = TestApp::at(&server.url("postgres"), &[("DATABASE_URL", &url)]).await;
        works_all_the_same(&app, &app.partner()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_of_the_role_change_nothing_behind_a_pooler() {
    let test = "database::sessions::settings_of_the_role_change_nothing_behind_a_pooler";
    if can_start_servers_for(test) && PgBouncer::is_there_for(test) {
        let (server, url) = otherwise("role service").await;
        // The pooler's own connections wait between two transactions, and what a transaction begins with is a statement too.
        let possible = "alter role service reset idle_session_timeout; alter role service set statement_timeout = '1s'";
        sql::execute(&server.url("postgres"), possible).await;
        let pooler = PgBouncer::to(&url, "");
        let app = TestApp::at(&server.url("postgres"), &[("DATABASE_URL", &url)]).await;
        let through =
            [("DATABASE_URL", pooler.url()), ("DATABASE_POOLER", "transaction"), ("MIGRATE_ON_START", "false")];
        let router = app.replica(&through).await;
        works_all_the_same(&app, &app.partner().through(router)).await;
    }
}

/// What a superuser has set otherwise for the role cannot be set back by it, and `synchronous_commit` is looked at where it
/// counts: in the transaction that an answer waits for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answered_writes_are_on_disk_whatever_the_role_says() {
    if !can_start_servers_for("database::sessions::answered_writes_are_on_disk_whatever_the_role_says") {
        return;
    }
    let (server, url) = otherwise("role service").await;
    let admin = server.url("postgres");
    sql::execute(&admin, LOOK_AT_WRITES).await;
    let app = TestApp::at(&admin, &[("DATABASE_URL", &url)]).await;
    main_flows(&app, &app.partner(), "ada", 1).await;
    let seen = "select distinct isolation || ', ' || durable from seen";
    assert_eq!(sql::texts(&admin, seen).await, ["read committed, on"]);
}

/// Writes down how each transaction of the service runs that writes an audit event.
const LOOK_AT_WRITES: &str = "
    create table seen (isolation text, durable text);
    grant insert on seen to service;
    create function look() returns trigger language plpgsql as $$ begin
        insert into public.seen
        values (current_setting('transaction_isolation'), current_setting('synchronous_commit'));
        return new;
    end $$;
    create trigger look before insert on audit_pending for each row execute function look()";
