//! The cost of every statement is independent of the size of a partner's tables: `pg_stat_statements` counts the blocks
//! that each statement of the service reads, and for a partner with hundreds of thousands of rows there must be few.
//! Blocks and not time, so that load on the machine does not fail the test.

use device_management::clock::SystemClock;
use device_management::domain::clients::Permissions;
use device_management::domain::numbers::country::Country;
use device_management::domain::sms::conversion::Destination;
use device_management::entropy::SystemEntropy;
use device_management::service::{
    AuditCheckpoints, AuditExport, AuditVerification, ClientRegistry, ConversionBook, PersonErasure,
};
use device_management::store::{DatabaseSettings, DatabaseUrl, connect, migrate};
use sqlx::{Connection, PgConnection, Row};
use tokio::task::spawn_blocking;

use super::indexes::walk;
use super::{acme, now, person};
use crate::devices::{ids, links};
use crate::harness::{PostgresServer, TestApp, can_start_servers_for, sql};

/// A version 7 UUID, as the service makes it.
pub(super) const MADE_AT: &str = "
    create function made_at(instant timestamptz, number bigint) returns uuid immutable
    return (lpad(to_hex((extract(epoch from instant) * 1000)::bigint), 12, '0') || '7000' || lpad(to_hex(number), 16, '0'))::uuid
";

/// Rows of one partner: up to 200,000 per table, and a person who deleted 50,000 devices. Some are old enough for
/// housekeeping to delete.
const FILLING: &str = "
    insert into person (partner_id, person_id, bound_devices)
    select 'acme', 'person-' || i, 1 from generate_series(1, 150000) i;
    insert into person (partner_id, person_id, deleted_devices) values ('acme', 'crowd', 50000);

    insert into mobile_number (partner_id, person_id, number_id, number, created_at, verified_at)
    select partner_id, person_id, gen_random_uuid(), '+49152' || (20000000 + row_number() over ()), '2022-03-01', '2022-03-01'
      from person;

    insert into device
        (device_id, partner_id, state, person_id, created_at, bound_at, binding_fingerprint, live_keys, deleted_at)
    select made_at(timestamptz '2022-03-01' + i * interval '1 second', i), 'acme'
         , case when i > 150000 then 'deleted' else 'live' end, case when i > 150000 then 'crowd' else 'person-' || i end
         , timestamptz '2022-03-01' + i * interval '1 second', '2022-03-10', ''
         , case when i > 150000 then 0 else 1 end, case when i > 150000 then timestamptz '2022-03-10' end
      from generate_series(1, 200000) i;

    insert into device_key (key_id, device_id, partner_id, public_key, purpose, created_at, deleted_at)
    select gen_random_uuid(), device_id, partner_id, decode(replace(device_id::text, '-', ''), 'hex'), 'unrestricted'
         , created_at, deleted_at
      from device;

    insert into device_challenge
        (challenge_id, partner_id, device_id, turn, person_id, key_purpose, string_to_sign, expires_at)
    select made_at(timestamptz '2022-03-18T14:00:00Z' - i * interval '1 second', i), partner_id, device_id, 1, person_id
         , 'unrestricted', repeat('x', 300), timestamptz '2022-03-18T14:05:00Z' - i * interval '1 second'
      from (select row_number() over () as i, * from device) it
     where i <= 60000;

    insert into fraud_assessment
        (assessment_id, partner_id, person_id, object_id, action, state, latency_ms, allowed, assessed_at)
    select device_id, partner_id, person_id, device_id, 'device_binding', 'approve', 1, 'yes', created_at
      from device;

    insert into idempotent_request
        (scope, claim_id, digest, partner_id, person_id, claimed_at, lease_until, outcome, request_id, finished_at)
    select sha256(i::text::bytea), gen_random_uuid(), '', 'acme', 'person-' || i
         , timestamptz '2022-03-18T14:00:00Z' - i * interval '2 seconds', '2022-03-01', '{\"Ok\":null}', 'a-request', '2022-03-01'
      from generate_series(1, 60000) i;

    insert into audit_seal (partner_id, seal, events, previous_hash, hash, sealed_at)
    select 'acme', i, 2, sha256((i - 1)::text::bytea), sha256(i::text::bytea)
         , timestamptz '2022-01-01' + i * interval '1 minute'
      from generate_series(1, 100000) i;
    insert into audit_event (partner_id, seal, event_id, client_id, action, outcome, occurred_at)
    select 'acme', 1 + i / 2, gen_random_uuid(), 'client', 'device.deleted', 'accepted', '2022-01-01'
      from generate_series(1, 199999) i;
    insert into audit_chain (partner_id, seals, head) values ('acme', 100000, sha256('100000'));
    insert into audit_pending (partner_id, event_id, client_id, action, outcome, occurred_at)
    select 'acme', lpad(to_hex(i), 32, '0')::uuid, 'client', 'device.deleted', 'accepted', '2022-03-18'
      from generate_series(1, 5000) i;

    insert into sms_conversion (partner_id, country, sent_in_minute, sent, used)
    select 'acme', 'DE', timestamptz '2022-03-01' - i * interval '1 minute', 1, 1 from generate_series(1, 200000) i;

    insert into audit_event (partner_id, seal, event_id, client_id, action, outcome, person_id, person_salt, person_digest
                           , occurred_at)
    select 'acme', 1 + i, gen_random_uuid(), 'client', 'binding.asked', 'accepted', 'crowd', '', '', '2022-01-01'
      from generate_series(1, 5000) i;

    insert into sms_sent (partner_id, message_id, number, number_turn, person_id, person_turn, sent_at)
    select 'acme', made_at(sent_at, i), '+49151' || (20000000 + i), 1, 'person-' || i, 1
         , extract(epoch from sent_at)::bigint * 1000000
      from generate_series(1, 60000) i, lateral (select timestamptz '2022-03-18T14:00:00Z' - i * interval '2 seconds') it(sent_at);

    insert into client (client_id, partner_id, permissions, created_at)
    select 'client-' || i, 'acme', '', timestamptz '2022-01-01' + i * interval '1 second'
      from generate_series(1, 5000) i;
    insert into client_secret (client_id, secret_hash, created_at)
    select client_id, sha256((client_id || i)::bytea), created_at from client, generate_series(1, 10) i;
    insert into client_secret (client_id, secret_hash, created_at, expires_at)
    select client_id, sha256(secret_hash), created_at, '2022-03-01' from client_secret limit 2000;
";

/// Blocks allowed per statement, and for each row that it changes or returns. The smallest table above has about 600
/// blocks, and so has its index.
const BLOCKS_PER_STATEMENT: i64 = 400;
const BLOCKS_PER_ROW: i64 = 30;

/// A server that counts the blocks of each statement and runs no autovacuum.
pub(super) async fn server() -> PostgresServer {
    let settings = [
        ("shared_preload_libraries", "pg_stat_statements"),
        ("pg_stat_statements.track_planning", "off"),
        // Keeps the statistics, and so the plans, unchanged until the end.
        ("autovacuum", "off"),
        // As for larger tables, where Postgres finds a batch by an index.
        ("random_page_cost", "1"),
    ];
    spawn_blocking(move || PostgresServer::start(&settings)).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_per_statement_do_not_grow_with_a_partners_tables() {
    if !can_start_servers_for("store::costs::reads_per_statement_do_not_grow_with_a_partners_tables") {
        return;
    }
    let server = server().await;
    let url = server.url("postgres");
    migrate(&DatabaseSettings::new(DatabaseUrl::parse(&url).unwrap())).await.unwrap();
    sql::execute(&url, MADE_AT).await;
    sql::execute(&url, FILLING).await;
    sql::execute(&url, "vacuum analyze").await;
    sql::execute(&url, "create extension pg_stat_statements").await;
    let app = TestApp::at(&url, &[]).await;
    sql::execute(&url, "select pg_stat_statements_reset(), pg_stat_reset()").await;
    let mut observer = PgConnection::connect(&url).await.unwrap();
    // More than five executions of each, after which Postgres may use a generic plan.
    for number in 0..7 {
        everything(&app, number).await;
    }
    background(&app).await;
    command_line(&app).await;
    // Also checks for sequential scans: with a limit one may find enough rows in the first blocks, until those hold no
    // rows.
    app.store().close().await;
    assert_eq!(read_sequentially(&mut observer).await, Vec::<String>::new());
    erasure(&url).await;
    let found = expensive(&mut observer, BLOCKS_PER_STATEMENT).await;
    assert!(found.is_empty(), "{found:#?}");
    assert_eq!(read_sequentially(&mut observer).await, Vec::<String>::new());

    // The check detects a sequential scan.
    sql::texts(&url, "select count(created_at)::text from device_key").await;
    assert_eq!(expensive(&mut observer, BLOCKS_PER_STATEMENT).await.len(), 1);
    assert_eq!(read_sequentially(&mut observer).await, ["device_key"]);
}

/// All requests, with every kind of page of every list.
pub(super) async fn everything(app: &TestApp, number: u32) {
    walk(app, number).await;
    let partner = app.partner();
    for filter in
        ["", "&filter[include_deleted]=true", "&person_id=crowd&filter[include_deleted]=true", "&person_id=crowd"]
    {
        let first = partner.get(&format!("/v1/mfa/devices?page[size]=7{filter}")).await;
        for relation in ["first", "last", "next"] {
            let Some(target) = links(&first).remove(relation) else { continue };
            let page = partner.get(&target).await;
            page.assert_status(200);
            if let Some(back) = links(&page).get("prev") {
                partner.get(back).await.assert_status(200);
            }
        }
        let second = partner.get(&format!("/v1/mfa/devices?page[size]=7&page[number]=2{filter}")).await;
        assert_eq!(ids(&second).first(), links(&first).get("next").and(ids(&second).first()));
    }
}

async fn background(app: &TestApp) {
    let service = &app.app.service;
    service.settle_conversion().await.unwrap();
    service.seal_audit_trail().await.unwrap();
    service.keep_house().await.unwrap();
    service.count_devices().await.unwrap();
    app.advance(chrono::TimeDelta::seconds(40));
    app.store().ready().await.unwrap();
}

async fn command_line(app: &TestApp) {
    let (store, service) = (app.store(), &app.app.service);
    let kept = AuditCheckpoints::default();
    let mut verification = AuditVerification::new(store, &kept);
    while verification.next().await.unwrap().is_some() {}
    let partner = acme();
    let mut export = AuditExport::since(store, &partner, now() - chrono::TimeDelta::days(30)).await.unwrap();
    while !export.page().await.unwrap().is_empty() {}

    let clients = ClientRegistry { store, clock: &*service.clock, entropy: &*service.entropy };
    let mut page = clients.page(None).await.unwrap();
    while let Some(last) = page.last().cloned() {
        page = clients.page(Some(&last)).await.unwrap();
    }
    let made = clients.create(acme(), None, Permissions::default()).await.unwrap();
    assert!(clients.rotate(&made.client_id, chrono::TimeDelta::hours(1)).await.unwrap().is_some());
    assert!(clients.revoke(&made.client_id).await.unwrap());

    let book = ConversionBook { store, clock: &*service.clock, policy: &service.policy, entropy: &*service.entropy };
    book.entries().await.unwrap();
    let destination = Destination { partner: acme(), country: Country::parse("DE").unwrap() };
    book.resume(&destination).await.unwrap();
}

/// Erases a person with 50,000 devices, and one with a number.
async fn erasure(url: &str) {
    let store = connect(&DatabaseSettings::new(DatabaseUrl::parse(url).unwrap())).await.unwrap();
    let erasure = PersonErasure { store: &*store, clock: &SystemClock, entropy: &SystemEntropy };
    for (name, devices) in [("crowd", 50_000), ("person-7", 1)] {
        assert_eq!(erasure.erase(&acme(), &person(name)).await.unwrap().unwrap().devices, devices);
    }
    store.close().await;
}

/// The large tables with a sequential scan, once every other connection has reported its counts.
async fn read_sequentially(observer: &mut PgConnection) -> Vec<String> {
    let others = "select count(*) from pg_stat_activity
                   where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'";
    while sqlx::query_scalar::<_, i64>(others).fetch_one(&mut *observer).await.unwrap() > 0 {
        tokio::task::yield_now().await;
    }
    let tables = "select s.relname::text
                    from pg_stat_user_tables s
                    join pg_class c on c.oid = s.relid
                   where s.seq_scan > 0
                     and c.reltuples >= 1000
                   order by 1";
    sqlx::query_scalar(tables).fetch_all(observer).await.unwrap()
}

/// Statements that read more blocks than their rows account for.
pub(super) async fn expensive(observer: &mut PgConnection, blocks_per_statement: i64) -> Vec<String> {
    let rows = sqlx::query(
        "select query, calls, rows, shared_blks_hit + shared_blks_read as blocks
           from pg_stat_statements
          where query !~ 'pg_stat_statements|^(vacuum|analyze)'
            and shared_blks_hit + shared_blks_read > $1 * calls + $2 * rows",
    )
    .bind(blocks_per_statement)
    .bind(BLOCKS_PER_ROW)
    .fetch_all(observer)
    .await
    .unwrap();
    rows.iter()
        .map(|row| {
            let [calls, rows, blocks] = ["calls", "rows", "blocks"].map(|name| row.get::<i64, _>(name));
            format!("{blocks} blocks for {calls} calls and {rows} rows: {}", row.get::<String, _>("query"))
        })
        .collect()
}
