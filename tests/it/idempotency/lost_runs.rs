//! Runs that lose their process or their claim: committed work takes effect once, and a run without a claim commits
//! nothing.

use axum::Router;
use chrono::TimeDelta;
use device_management::domain::idempotency::{Claim, Claimed, Run, scope};
use device_management::domain::person::PartnerId;
use serde_json::{Value, json};

use super::{DEVICES, assert_replays, request_body, send};
use crate::harness::faulty_server::{Behaviour, FaultyServer};
use crate::harness::{Answer, NUMBER, Phone, TestApp, on_both_databases_and_citus, sql};

on_both_databases_and_citus![
    a_claim_of_a_process_that_died_before_its_work_blocks_for_a_minute,
    the_outcome_of_a_process_that_died_after_its_work_is_replayed,
    a_run_that_outlives_its_lease_is_not_taken_over_after_its_commit,
    a_run_whose_claim_was_taken_over_opens_no_challenge,
    a_run_whose_claim_was_taken_over_adds_no_key,
];

/// Claims a key as a process would before it dies.
async fn claim(app: &TestApp, key: &str, body: &Value) -> Claimed {
    let acme = PartnerId::parse("acme").unwrap();
    let run = Run {
        scope: scope(&acme, "client-of-acme", "POST", DEVICES, key),
        claim_id: uuid::Uuid::from_bytes(app.app.service.entropy.bytes()),
        request_id: "a-lost-request".to_owned(),
    };
    let claim = Claim {
        run,
        digests: app.app.request_digests.of("", body.to_string().as_bytes()),
        partner: acme,
        person: None,
        at: app.app.service.clock.now(),
    };
    app.store().claim_request(&claim).await.unwrap()
}

async fn a_claim_of_a_process_that_died_before_its_work_blocks_for_a_minute(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let body = request_body("ada", &Phone::new(1));
    assert_eq!(claim(&app, "key", &body).await, Claimed::Yes);
    app.advance(TimeDelta::seconds(59));
    let early = send(&acme, "key", "POST", DEVICES, &body).await;
    assert_eq!(early.assert_status(409).headers["retry-after"], "1");
    app.advance(TimeDelta::seconds(1));
    let other = send(&acme, "key", "POST", DEVICES, &request_body("ada", &Phone::new(2))).await;
    other.assert_status(422);
    let answer = send(&acme, "key", "POST", DEVICES, &body).await;
    assert_eq!(answer.assert_status(202).headers.get("idempotency-replayed"), None);
    assert_eq!(app.outbox().messages().len(), 1);
}

/// A replica that commits its work and then hangs while it sends the SMS.
async fn hanging(app: &TestApp) -> Router {
    app.broken_replica(crate::harness::Broken::HangingSmsSender, &[("REQUEST_DEADLINE_SECONDS", "1")]).await
}

async fn the_outcome_of_a_process_that_died_after_its_work_is_replayed(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let body = request_body("ada", &Phone::new(1));
    let lost = acme.through(hanging(&app).await);
    // The state is that of a killed process: the work is committed, the run has not ended.
    send(&lost, "key", "POST", DEVICES, &body).await.assert_status(503);
    send(&acme, "key", "POST", DEVICES, &body).await.assert_status(409);
    app.advance(TimeDelta::seconds(60));
    let answer = send(&acme, "key", "POST", DEVICES, &body).await;
    assert_eq!(answer.assert_status(202).headers["idempotency-replayed"], "true");
    assert_eq!(app.outbox().messages().len(), 0, "no second SMS after one that may have been sent");
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    acme.get(&format!("/v1/mfa/challenges/signatures/{id}")).await.assert_status(200);
}

async fn a_run_that_outlives_its_lease_is_not_taken_over_after_its_commit(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let held = app.outbox().hold();
    let body = json!({"number": NUMBER});
    let authorize = "/v1/persons/ada/mobile_number/authorize";
    let slow = {
        let (acme, body) = (acme.clone(), body.clone());
        tokio::spawn(async move { send(&acme, "key", "POST", authorize, &body).await })
    };
    held.reached().await;
    // The run has stored its outcome already, so a repeated request after the lease gets it and takes nothing over.
    app.advance(TimeDelta::seconds(60));
    let repeated = send(&app.partner(), "key", "POST", authorize, &body).await;
    assert_eq!(repeated.assert_status(201).headers["idempotency-replayed"], "true");
    held.release();
    assert_replays(&slow.await.unwrap(), &repeated);
    assert_eq!(app.outbox().messages().len(), 1);
}

const PAYLOAD: &str = "Web;179ac83968ab42f7;jVl14emA+OcyALb9F+CMFg==;NU7aFh0jdzM15wj8hQtqbA5LbzEFWDI1bUwZf";

/// Sends a request to a replica whose fraud check hangs, and after the lease to another one, which does the work. Then
/// lets the first run continue, and asserts that it changes nothing. Returns the answers of both.
async fn take_over(app: &TestApp, path: &str, mut body: Value, status: u16) -> (Answer, Answer) {
    let acme = app.partner();
    body["device_data"] = json!(PAYLOAD);
    let seon = FaultyServer::start(Behaviour::Hang).await;
    let url = seon.url();
    let settings = [
        ("SEON_API_KEY", "a-licence"),
        ("SEON_BASE_URL", url.as_str()),
        ("SEON_TIMEOUT_MS", "10000"),
        ("REQUEST_DEADLINE_SECONDS", "300"),
    ];
    let slow = acme.through(app.replica(&settings).await);
    let first = {
        let (path, body) = (path.to_owned(), body.clone());
        tokio::spawn(async move { send(&slow, "key", "POST", &path, &body).await })
    };
    seon.has_read(1).await;
    send(&acme, "key", "POST", path, &body).await.assert_status(409);
    app.advance(TimeDelta::seconds(60));
    let second = send(&acme, "key", "POST", path, &body).await;
    assert_eq!(second.assert_status(status).headers.get("idempotency-replayed"), None);

    let before = stored_state(app).await;
    drop(seon);
    let overtaken = first.await.unwrap();
    overtaken.assert_status(409);
    assert_eq!(stored_state(app).await, before);
    assert_replays(&second, &send(&acme, "key", "POST", path, &body).await);
    (overtaken, second)
}

/// Persons, numbers, devices, keys, outcomes, and the number of sent messages; not the audit trail.
async fn stored_state(app: &TestApp) -> (Vec<String>, usize) {
    let mut rows = Vec::new();
    for table in ["person", "mobile_number", "device", "device_key", "idempotent_request"] {
        rows.push(sql::every_value_in(&app.database, table).await);
    }
    (rows, app.outbox().messages().len())
}

async fn a_run_whose_claim_was_taken_over_opens_no_challenge(app: TestApp) {
    let (acme, phone) = (app.partner(), Phone::new(1));
    acme.verified_person("ada").await;
    let (overtaken, asked) = take_over(&app, DEVICES, request_body("ada", &phone), 202).await;
    overtaken.assert_error(409, "conflict", "concurrent requests changed the same data; retry");
    assert!(overtaken.headers.contains_key("retry-after"));
    assert_eq!(app.outbox().messages().len(), 1);
    // The sent code is still valid.
    let signature = phone.sign(&app.outbox().last().code());
    acme.answer(asked.json()["id"].as_str().unwrap(), &signature).await.assert_status(204);
}

async fn a_run_whose_claim_was_taken_over_adds_no_key(app: TestApp) {
    let (acme, phone) = (app.partner(), Phone::new(1));
    acme.verified_person("ada").await;
    let keys = format!("{DEVICES}/{}/keys", acme.bind("ada", &phone).await.id);
    let (overtaken, _) = take_over(&app, &keys, phone.vouch_for(&Phone::new(2)), 201).await;
    let detail = "the key belongs to a bound device; generate a new one";
    overtaken.assert_error(409, "key_already_registered", detail);
    let listed = acme.get(&keys).await.json();
    assert_eq!(listed[0]["keys"].as_array().map(Vec::len), Some(2));
}
