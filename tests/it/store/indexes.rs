//! Every statement on a hot path uses an index: a complete life of a device must not increase Postgres's count of
//! sequential scans.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::Request;
use serde_json::json;
use sqlx::{Connection, PgConnection, Row};

use crate::activation_codes::{activation_code, ask_by_letter, delivery_event};
use crate::harness::{ACTIVATION_CODES, Engine, Phone, SMS_CHALLENGES, TestApp, TestClient};

/// So many rows per table that a sequential scan is the worst plan. All belong to one partner, so the partner alone is
/// not selective.
const FILLING: &str = "
    insert into person (partner_id, person_id, bound_devices)
    select 'acme', 'person-' || i, 1 from generate_series(1, 20000) i;

    insert into mobile_number (partner_id, person_id, number_id, number, created_at, verified_at)
    select partner_id, person_id, gen_random_uuid(), '+4915112345678', now(), now() from person;

    insert into device
        (device_id, partner_id, state, person_id, created_at, bound_at, binding_fingerprint, live_keys)
    select gen_random_uuid(), partner_id, 'live', person_id, now(), now(), '', 1 from person;

    insert into device_key (key_id, device_id, partner_id, public_key, purpose, created_at)
    select gen_random_uuid(), device_id, partner_id, decode(replace(device_id::text, '-', ''), 'hex'), 'unrestricted', now()
      from device;

    insert into device_challenge
        (challenge_id, partner_id, device_id, turn, person_id, key_purpose, string_to_sign, expires_at)
    select gen_random_uuid(), partner_id, device_id, 1, person_id, 'unrestricted', '', now() from device;

    insert into client (client_id, partner_id, permissions, created_at)
    select 'client-' || i, 'acme', '', now() from generate_series(1, 5000) i;

    insert into client_secret (client_id, secret_hash, created_at)
    select client_id, sha256(client_id::bytea), now() from client;

    analyze;
";

/// Number of sequential scans and of index scans of each table.
#[derive(Debug)]
struct Scans {
    sequential: BTreeMap<String, i64>,
    by_index: BTreeMap<String, i64>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_hot_statement_uses_a_sequential_scan() {
    if !Engine::Postgres.is_there_for("store::indexes::no_hot_statement_uses_a_sequential_scan").await {
        return;
    }
    let app = TestApp::with(Engine::Postgres, &[]).await;
    let mut observer = PgConnection::connect(app.database.url()).await.unwrap();
    sqlx::raw_sql(FILLING).execute(&mut observer).await.unwrap();
    // A connection reports its counts at the latest when it ends.
    observer.close().await.unwrap();
    let mut observer = PgConnection::connect(app.database.url()).await.unwrap();
    let before = scans(&mut observer, FILLERS).await;

    // More than five executions of each, after which Postgres may use a generic plan.
    for number in 0..7 {
        walk(&app, number).await;
    }
    app.store().close().await;
    let after = scans(&mut observer, SERVICE).await;
    assert_eq!(after.sequential, before.sequential);
    for (table, scans) in after.by_index {
        assert!(scans > before.by_index[&table], "{table} was not read: {scans}");
    }
}

/// The complete life of a device and its person, from the client's token to the deletion of the number.
pub(crate) async fn walk(app: &TestApp, number: u32) {
    let partner = app.partner();
    let person = format!("person-new-{number}");
    let [phone, second, third] = [0, 1, 2].map(|seed| Phone::new(3 * number + seed));
    let token = Request::post("/oauth2/token")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("authorization", "Basic Y2xpZW50LTcyNzp3cm9uZw==") // client-727:wrong
        .body(Body::from("grant_type=client_credentials"));
    app.stranger().request(token.unwrap()).await.assert_status(401);

    let mobile_number = format!("/v1/persons/{person}/mobile_number");
    let its_number = json!({"number": "+4915112345678"});
    partner.post(&mobile_number, its_number.clone()).await.assert_status(201);
    partner.get(&mobile_number).await.assert_status(200);
    partner.post(&format!("{mobile_number}/authorize"), its_number).await.assert_status(201);
    let code = app.outbox().last().code();
    for (token, status) in [(if code == "000000" { "000001" } else { "000000" }, 403), (&*code, 201)] {
        let confirmation = json!({"number": "+4915112345678", "token": token});
        partner.post(&format!("{mobile_number}/confirm"), confirmation).await.assert_status(status);
    }

    let asked = partner.ask_for_device(&person, &phone).await;
    let right = phone.sign(&app.outbox().last().code());
    partner.get(&format!("/v1/mfa/challenges/signatures/{}", asked.id)).await.assert_status(200);
    partner.answer(&asked.id, &phone.sign("wrong")).await.assert_status(403);
    for _ in 0..2 {
        partner.answer(&asked.id, &right).await.assert_status(204);
    }
    let device = format!("/v1/mfa/devices/{}", asked.id);
    partner.get(&device).await.assert_status(200);
    partner.post(&format!("{device}/keys"), phone.vouch_for(&second)).await.assert_status(201);
    partner.get(&format!("{device}/keys")).await.assert_status(200);
    partner.get(&format!("{device}/keys/{}", asked.key_id)).await.assert_status(200);
    for filter in ["", "&filter[include_deleted]=true"] {
        partner.get(&format!("/v1/mfa/devices?person_id={person}{filter}")).await.assert_status(200);
    }
    for text in [None, Some("wrong")] {
        let challenge = partner.challenge(&asked.id).await;
        let signature = phone.sign(text.unwrap_or(&challenge.text));
        let status = if text.is_none() { 204 } else { 403 };
        partner.get(&format!("/v1/mfa/challenges/devices/{}", challenge.id)).await.assert_status(200);
        partner.sign(&challenge.id, &signature).await.assert_status(status);
    }
    let sms = partner.sms_challenge(&person).await;
    partner.get(&format!("{SMS_CHALLENGES}/{}", sms.id)).await.assert_status(200);
    partner.type_code(&sms.id, &sms.wrong_code()).await.assert_status(403);
    partner.type_code(&sms.id, &sms.code).await.assert_status(204);
    partner.sms_challenge(&person).await;
    let approval = json!({"device_id": asked.id, "approval": {"action": "card-limit"}});
    let approval = partner.post("/v1/mfa/challenges/devices", approval).await.assert_status(201).json();
    let signature = phone.sign(approval["string_to_sign"].as_str().unwrap());
    partner.sign(approval["id"].as_str().unwrap(), &signature).await.assert_status(204);
    walk_with_a_letter(&partner, &person, &third).await;
    partner.ask_for_device(&person, &third).await;
    partner.delete(&device).await.assert_status(204);
    partner.delete(&mobile_number).await.assert_status(200);
}

/// The life of an activation code, from its creation to a binding with it.
async fn walk_with_a_letter(partner: &TestClient, person: &str, phone: &Phone) {
    let ended = activation_code(partner, person).await;
    partner.delete(&ended.path()).await.assert_status(200);
    let code = activation_code(partner, person).await;
    let events = format!("{}/delivery_events", code.path());
    partner.post(&events, delivery_event()).await.assert_status(201);
    let listed = partner.get(&events).await.assert_status(200).json();
    partner.get(&format!("{events}/{}", listed[0]["id"].as_str().unwrap())).await.assert_status(200);
    for person in ["", &format!("&filter[person_id]={person}")] {
        partner.get(&format!("{ACTIVATION_CODES}?page[size]=1{person}")).await.assert_status(200);
    }
    let asked = ask_by_letter(partner, person, phone).await;
    partner.answer(&asked, &phone.sign("wrong")).await.assert_status(403);
    partner.answer(&asked, &phone.sign(&code.code)).await.assert_status(204);
    partner.delete(&format!("/v1/mfa/devices/{asked}")).await.assert_status(204);
}

/// Connections that are still open: the one that filled the tables, and those of the service.
const FILLERS: &str = "select count(*) from pg_stat_activity
                        where datname = current_database() and pid <> pg_backend_pid()
                          and backend_type = 'client backend' and application_name <> 'device-management'";
const SERVICE: &str = "select count(*) from pg_stat_activity
                        where datname = current_database() and application_name = 'device-management'";

/// The counts once those connections have ended and reported.
async fn scans(observer: &mut PgConnection, connections: &'static str) -> Scans {
    while sqlx::query_scalar::<_, i64>(connections).fetch_one(&mut *observer).await.unwrap() > 0 {
        tokio::task::yield_now().await;
    }
    let rows = sqlx::query(
        "select relname::text as name, seq_scan, idx_scan
           from pg_stat_user_tables
          where relname in ('client', 'client_secret', 'device', 'device_challenge', 'device_key', 'mobile_number', 'person')",
    )
    .fetch_all(observer)
    .await
    .unwrap();
    assert_eq!(rows.len(), 7);
    let count = |column: &str| rows.iter().map(|row| (row.get("name"), row.get(column))).collect();
    Scans { sequential: count("seq_scan"), by_index: count("idx_scan") }
}
