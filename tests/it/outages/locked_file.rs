//! A SQLite file that another process keeps locked: writes get 503 with `Retry-After`, reads are served.

use std::time::Instant;

use serde_json::json;
use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;

use super::{LEASE, PATIENCE, SETTINGS, SLACK, STORE_DEADLINE, trail};
use crate::activation_codes::activation_wish;
use crate::harness::{ACTIVATION_CODES, DEVICE_CHALLENGES, Engine, Phone, TestApp, books};
use crate::idempotency::send;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_get_503_and_readers_are_served() {
    let app = TestApp::with(Engine::Sqlite, &SETTINGS).await;
    let acme = app.partner();
    acme.verified_person("ada").await;
    let device = format!("/v1/mfa/devices/{}", acme.bind("ada", &Phone::new(1)).await.id);
    let asked = format!("/v1/mfa/challenges/signatures/{}", acme.ask_for_device("ada", &Phone::new(2)).await.id);
    let signature = json!({"signature": Phone::new(2).sign(&app.outbox().last().code())});

    let bob = Phone::new(3);
    acme.verified_person("bob").await;
    let body = json!({"device_id": acme.bind("bob", &bob).await.id});
    let challenge = acme.challenge(body["device_id"].as_str().unwrap()).await;
    let approval = bob.sign(&challenge.text);
    let sent = app.outbox().messages().len();

    let mut other = SqliteConnection::connect(app.database.url()).await.unwrap();
    let lock = other.begin_with("begin immediate").await.unwrap();
    let started = Instant::now();
    let (deletion, answer, opening, approving, code, list) = tokio::join!(
        acme.delete(&device),
        send(&acme, "key", "PUT", &asked, &signature),
        acme.post(DEVICE_CHALLENGES, body.clone()),
        acme.sign(&challenge.id, &approval),
        acme.post(ACTIVATION_CODES, activation_wish("bob")),
        acme.get("/v1/mfa/devices"),
    );
    assert!(started.elapsed() < STORE_DEADLINE + SLACK, "the answers took {:?}", started.elapsed());
    list.assert_status(200);
    for refused in [deletion, answer, opening, approving, code] {
        assert!(refused.assert_status(503).headers.contains_key("retry-after"));
    }
    acme.get(&device).await.assert_status(200);
    acme.get(&format!("{DEVICE_CHALLENGES}/{}", challenge.id)).await.assert_status(200);
    assert_eq!(app.outbox().messages().len(), sent);
    lock.rollback().await.unwrap();

    // The deletion that waited for the lock has no effect. The claim on the idempotency key may have been written,
    // although its request got 503.
    let deletion = loop {
        let answer = acme.delete(&device).await;
        if answer.status != 503 {
            break answer;
        }
        assert!(started.elapsed() < PATIENCE, "the lock is never released");
    };
    deletion.assert_status(204);
    let mut answer = send(&acme, "key", "PUT", &asked, &signature).await;
    if answer.status == 409 {
        app.advance(LEASE);
        answer = send(&acme, "key", "PUT", &asked, &signature).await;
    }
    answer.assert_status(204);
    acme.sign(&challenge.id, &approval).await.assert_status(204);
    acme.post(DEVICE_CHALLENGES, body).await.assert_status(201);
    acme.post(ACTIVATION_CODES, activation_wish("bob")).await.assert_status(201);
    books::assert_balanced(&app.database).await;
    trail::assert_complete(&app.database).await;
    trail::assert_verifies(&app).await;
}
