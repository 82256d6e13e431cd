//! A request reads a few blocks even if Postgres has no statistics, or wrong ones, on the partner: plans must not
//! depend on the time of the last `analyze`.

use device_management::store::{DatabaseSettings, DatabaseUrl, migrate};
use sqlx::{Connection, PgConnection};

use super::costs::{MADE_AT, everything, expensive, server};
use super::partitions::walk_with_repetitions;
use crate::fraud_flow::Seon;
use crate::harness::{PostgresServer, TestApp, can_start_servers_for, sql};

/// Blocks that a statement may read; it returns or changes a few rows. A partner's part of the smallest table below,
/// and of its index, is larger.
const BLOCKS_PER_STATEMENT: i64 = 120;

/// Rows of a partner in every table that requests read.
fn rows_of(partner: &str, count: u32) -> String {
    format!(
        "insert into person (partner_id, person_id, bound_devices, binding_id, binding_created_at, binding_expires_at)
         select '{partner}', 'person-' || i, 1, made_at('2022-03-01', 1000000 + i), '2022-03-01', '2022-03-01'
           from generate_series(1, {count}) i;

         insert into mobile_number (partner_id, person_id, number_id, number, created_at, verified_at)
         select '{partner}', 'person-' || i, made_at('2022-03-01', i), '+49152' || (20000000 + i), '2022-03-01', '2022-03-01'
           from generate_series(1, {count}) i;

         insert into challenge (partner_id, challenge_id, kind, person_id, otp_version, expires_at)
         select '{partner}', made_at('2022-03-01', 2000000 + i), 'number', 'person-' || i, 1, '2022-03-01'
           from generate_series(1, {count}) i;

         insert into device
             (device_id, partner_id, state, person_id, created_at, bound_at, binding_fingerprint, live_keys, deleted_at)
         select made_at(timestamptz '2022-03-01' + i * interval '1 second', i), '{partner}'
              , case when i % 2 = 0 then 'deleted' else 'live' end, 'person-' || i
              , timestamptz '2022-03-01' + i * interval '1 second', '2022-03-10', ''
              , i % 2, case when i % 2 = 0 then timestamptz '2022-03-10' end
           from generate_series(1, {count}) i;

         insert into device_key (partner_id, device_id, key_id, public_key, purpose, created_at, deleted_at)
         select partner_id, device_id, device_id, sha256(device_id::text::bytea), 'unrestricted', created_at, deleted_at
           from device
          where partner_id = '{partner}';

         insert into device_challenge
             (challenge_id, partner_id, device_id, turn, person_id, key_purpose, string_to_sign, expires_at)
         select device_id, partner_id, device_id, 1, person_id, 'unrestricted', repeat('x', 300), bound_at
           from device
          where partner_id = '{partner}';

         insert into fraud_assessment
             (assessment_id, partner_id, person_id, object_id, action, state, latency_ms, allowed, assessed_at)
         select device_id, partner_id, person_id, device_id, 'device_binding', 'approve', 1, 'yes', created_at
           from device
          where partner_id = '{partner}';

         insert into idempotent_request (scope, claim_id, digest, partner_id, person_id, claimed_at, lease_until, finished_at)
         select sha256(i::text::bytea), gen_random_uuid(), '', '{partner}', 'person-' || i
              , timestamptz '2022-03-18T14:00:00Z' - i * interval '1 second', '2022-03-01', '2022-03-01'
           from generate_series(1, {count}) i;

         insert into sms_sent (partner_id, message_id, number, number_turn, person_id, person_turn, sent_at)
         select '{partner}', made_at(sent_at, i), '+49152' || (20000000 + i), 1, 'person-' || i, 1
              , extract(epoch from sent_at)::bigint * 1000000
           from generate_series(1, {count}) i
              , lateral (select timestamptz '2022-03-18T14:00:00Z' - i * interval '1 second') it (sent_at);

         insert into audit_pending (partner_id, event_id, client_id, action, outcome, occurred_at)
         select '{partner}', made_at('2022-03-18', i), 'client', 'device.deleted', 'accepted', '2022-03-18'
           from generate_series(1, {count}) i;"
    )
}

/// All requests, and the search for partners with many devices, more than five times, after which Postgres may use a
/// generic plan.
async fn requests(app: &TestApp, first: u32) {
    for number in first..first + 7 {
        everything(app, number).await;
        walk_with_repetitions(app, number).await;
        let partner = app.store().next_partner_with_devices(None).await.unwrap();
        assert!(partner.is_some_and(|partner| partner.are_many), "a partner has more than a thousand devices");
    }
}

async fn prepare() -> Option<(PostgresServer, String, Seon)> {
    if !can_start_servers_for("store::plans") {
        return None;
    }
    let server = server().await;
    let url = server.url("postgres");
    migrate(&DatabaseSettings::new(DatabaseUrl::parse(&url).unwrap())).await.unwrap();
    sql::execute(&url, MADE_AT).await;
    sql::execute(&url, "create extension pg_stat_statements").await;
    Some((server, url, Seon::that_says("DECLINE").await))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_that_were_never_analysed_are_read_by_index() {
    let Some((_server, url, seon)) = prepare().await else { return };
    sql::execute(&url, &rows_of("acme", 40_000)).await;
    let uri = seon.uri();
    let settings = [("SMS_LIMITS", "dry-run"), ("SEON_API_KEY", "a-licence"), ("SEON_BASE_URL", uri.as_str())];
    let app = TestApp::at(&url, &settings).await;
    let mut observer = PgConnection::connect(&url).await.unwrap();
    sql::execute(&url, "select pg_stat_statements_reset()").await;
    requests(&app, 0).await;
    assert_eq!(expensive(&mut observer, BLOCKS_PER_STATEMENT).await, Vec::<String>::new());
    app.store().close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partner_missing_from_the_statistics_is_read_by_index() {
    let Some((_server, url, seon)) = prepare().await else { return };
    sql::execute(&url, &rows_of("globex", 100_000)).await;
    sql::execute(&url, "vacuum analyze").await;
    // Many rows that are younger than the statistics.
    sql::execute(&url, &rows_of("acme", 40_000)).await;
    let uri = seon.uri();
    let settings = [("SMS_LIMITS", "dry-run"), ("SEON_API_KEY", "a-licence"), ("SEON_BASE_URL", uri.as_str())];
    let app = TestApp::at(&url, &settings).await;
    let mut observer = PgConnection::connect(&url).await.unwrap();
    sql::execute(&url, "select pg_stat_statements_reset()").await;
    requests(&app, 0).await;
    assert_eq!(expensive(&mut observer, BLOCKS_PER_STATEMENT).await, Vec::<String>::new());
    // The check detects a sequential scan.
    sql::texts(&url, "select person_id from mobile_number where partner_id = 'acme' and number_id::text = ''").await;
    assert_eq!(expensive(&mut observer, BLOCKS_PER_STATEMENT).await.len(), 1);
    app.store().close().await;
}
