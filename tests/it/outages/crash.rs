//! A crash of Postgres and the challenges of bound devices, whose opening does not wait for the disk
//! (docs/decisions/0030-device-challenges-in-one-round-trip.md).

use std::time::Instant;

use serde_json::json;
use tokio::task::block_in_place;

use super::{PATIENCE, server, trail};
use crate::harness::{DEVICE_CHALLENGES, Phone, TestApp, TestClient, books, can_start_servers_for};

/// So that no later request meets another broken connection.
const ONE_CONNECTION: [(&str, &str); 1] = [("DATABASE_MAX_CONNECTIONS", "1")];

const OPENED: &str = "select count(*) from audit_pending
                       where action = 'device_challenge.asked' and outcome = 'accepted'";

const ANSWERED: &str = "select count(*) from device_challenge where decision = 'approved'";

/// Waits until the service has replaced its broken connection.
async fn until_served(client: &TestClient) {
    let started = Instant::now();
    while client.get("/v1/mfa/devices").await.status == 503 {
        assert!(started.elapsed() < PATIENCE, "nothing but 503");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_loses_no_answer_and_an_open_challenge_only_with_its_event() {
    let test = "outages::crash::a_crash_loses_no_answer_and_an_open_challenge_only_with_its_event";
    if !can_start_servers_for(test) {
        return;
    }
    let mut server = server().await;
    let app = TestApp::at(&server.url("postgres"), &ONE_CONNECTION).await;
    let (acme, phone) = (app.partner(), Phone::new(1));
    acme.verified_person("ada").await;
    let device = acme.bind("ada", &phone).await.id;
    let frozen = server.freeze_wal_writer();
    let answered = acme.challenge(&device).await;
    let signature = phone.sign(&answered.text);
    acme.sign(&answered.id, &signature).await.assert_status(204);
    let open = acme.challenge(&device).await;
    assert_eq!(books::count(&app.database, OPENED).await, 2);
    server.kill();
    drop(frozen);
    block_in_place(|| server.start_again()).unwrap();

    until_served(&acme).await;
    assert_eq!((books::count(&app.database, ANSWERED).await, books::count(&app.database, OPENED).await), (1, 1));
    trail::assert_complete(&app.database).await;
    // The repeat of the answer, within a minute.
    acme.sign(&answered.id, &signature).await.assert_status(204);
    acme.get(&format!("{DEVICE_CHALLENGES}/{}", open.id)).await.assert_status(404);
    acme.sign(&open.id, &phone.sign(&open.text)).await.assert_status(404);
    let again = acme.challenge(&device).await;
    acme.sign(&again.id, &phone.sign(&again.text)).await.assert_status(204);
    trail::assert_verifies(&app).await;
}

/// With an idempotency key the opening waits for the disk, because its outcome is stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_challenge_with_an_idempotency_key_survives_a_crash() {
    if !can_start_servers_for("outages::crash::a_challenge_with_an_idempotency_key_survives_a_crash") {
        return;
    }
    let mut server = server().await;
    let app = TestApp::at(&server.url("postgres"), &ONE_CONNECTION).await;
    let (acme, phone) = (app.partner(), Phone::new(1));
    acme.verified_person("ada").await;
    let body = json!({"device_id": acme.bind("ada", &phone).await.id});
    let frozen = server.freeze_wal_writer();
    let opened = crate::idempotency::send(&acme, "key", "POST", DEVICE_CHALLENGES, &body).await;
    opened.assert_status(201);
    server.kill();
    drop(frozen);
    block_in_place(|| server.start_again()).unwrap();

    until_served(&acme).await;
    let again = crate::idempotency::send(&acme, "key", "POST", DEVICE_CHALLENGES, &body).await;
    assert_eq!(again.assert_status(201).body, opened.body);
    let path = format!("{DEVICE_CHALLENGES}/{}", opened.json()["id"].as_str().unwrap());
    assert_eq!(acme.get(&path).await.assert_status(200).body, opened.body);
}
