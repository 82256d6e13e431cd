//! Settings of the role and the database that affect sessions: none of them changes the service's behaviour.

use device_management::store::{DatabaseSettings, DatabaseUrl, migrate};
use serde_json::json;

use super::main_flows;
use crate::harness::pgbouncer::PgBouncer;
use crate::harness::{Phone, PostgresServer, TestApp, TestClient, can_start_servers_for, sql};

/// Number of concurrent requests for one person.
const AT_ONCE: u32 = 60;

/// Every setting of a role or a database that affects statements, each with a value that is neither the service's nor
/// the default.
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

/// Exempts the test's own connections from the settings of the database.
const NOT_FOR_THE_TEST: &str = "
    alter role postgres set search_path = public;
    alter role postgres set statement_timeout = 0;
    alter role postgres set lock_timeout = 0;
    alter role postgres set idle_in_transaction_session_timeout = 0;
    alter role postgres set idle_session_timeout = 0;
    alter role postgres set client_min_messages = notice;
    alter role postgres set default_transaction_isolation = 'read committed'";

/// A role with the needed privileges. Its own search path has another table with the name of one of the service's.
const ROLE: &str = "
    create role service login password 'word';
    grant create, usage on schema public to service;
    create schema elsewhere authorization service;
    create table elsewhere.mobile_number (x int);
    alter table elsewhere.mobile_number owner to service";

/// A server on which the role `service` has all these settings, and the role's URL. The migrations run under them, too.
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

async fn assert_works(app: &TestApp, acme: &TestClient) {
    main_flows(app, acme, "ada", 1).await;
    concurrent_requests(app, acme).await;
}

/// Parallel requests for one person wait for each other instead of failing.
async fn concurrent_requests(app: &TestApp, acme: &TestClient) {
    acme.verified_person("bob").await;
    let requests: Vec<_> = (0..AT_ONCE)
        .map(|number| {
            let acme = acme.clone();
            tokio::spawn(async move {
                let new_device =
                    json!({"person_id": "bob", "key_type": "ecdsa-p256", "key": Phone::new(100 + number).key()});
                acme.post("/v1/mfa/devices", new_device).await
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
    // Two were sent before.
    assert_eq!(app.outbox().messages().len(), accepted + 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_of_the_role_have_no_effect() {
    if can_start_servers_for("database::sessions::settings_of_the_role_have_no_effect") {
        let (server, url) = otherwise("role service").await;
        let app = TestApp::at(&server.url("postgres"), &[("DATABASE_URL", &url)]).await;
        assert_works(&app, &app.partner()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_of_the_database_have_no_effect() {
    if can_start_servers_for("database::sessions::settings_of_the_database_have_no_effect") {
        let (server, url) = otherwise("database postgres").await;
        let app = TestApp::at(&server.url("postgres"), &[("DATABASE_URL", &url)]).await;
        assert_works(&app, &app.partner()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_of_the_role_have_no_effect_behind_a_pooler() {
    let test = "database::sessions::settings_of_the_role_have_no_effect_behind_a_pooler";
    if can_start_servers_for(test) && PgBouncer::is_there_for(test) {
        let (server, url) = otherwise("role service").await;
        // The pooler's server connections are idle between transactions, and the statement that begins a transaction
        // counts as a statement.
        let possible = "alter role service reset idle_session_timeout; alter role service set statement_timeout = '1s'";
        sql::execute(&server.url("postgres"), possible).await;
        let pooler = PgBouncer::to(&url, "");
        let app = TestApp::at(&server.url("postgres"), &[("DATABASE_URL", &url)]).await;
        let through =
            [("DATABASE_URL", pooler.url()), ("DATABASE_POOLER", "transaction"), ("MIGRATE_ON_START", "false")];
        let router = app.replica(&through).await;
        assert_works(&app, &app.partner().through(router)).await;
    }
}

/// The role cannot override settings that a superuser has set for it. `synchronous_commit` is read where it matters: in
/// the transaction before an answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_are_durable_regardless_of_the_roles_synchronous_commit() {
    if !can_start_servers_for("database::sessions::writes_are_durable_regardless_of_the_roles_synchronous_commit") {
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

/// Records the settings of each transaction of the service that writes an audit event.
const LOOK_AT_WRITES: &str = "
    create table seen (isolation text, durable text);
    grant insert on seen to service;
    create function look() returns trigger language plpgsql as $$ begin
        insert into public.seen
        values (current_setting('transaction_isolation'), current_setting('synchronous_commit'));
        return new;
    end $$;
    create trigger look before insert on audit_pending for each row execute function look()";
