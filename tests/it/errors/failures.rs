//! Failures of the service: panics, a provider that hangs, an outage of the database. The caller gets 500, or 503 with
//! `Retry-After`, and no internal detail.

use axum::body::Body;
use axum::http::Request;
use chrono::TimeDelta;
use device_management::store::{DatabaseSettings, DatabaseUrl, migrate};
use serde_json::json;
use tokio::task::spawn_blocking;

use crate::harness::{
    Answer, Broken, Engine, NUMBER, Phone, PostgresServer, TestApp, TestClient, can_start_servers_for,
    on_both_databases,
};

on_both_databases![a_panic_is_500_and_other_requests_succeed, a_missing_table_is_500_without_details];

const DEVICES: &str = "/v1/mfa/devices";
const INTERNAL_ERROR: &str = "internal server error";
const UNAVAILABLE: &str = "the service is not available right now, please try again";

async fn a_panic_is_500_and_other_requests_succeed(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;

    // In the handler: with a request id from the client, the first use of the clock is there.
    let broken = acme.through(app.broken_replica(Broken::Clock, &[]).await);
    for _ in 0..2 {
        let request = Request::get(DEVICES).header("x-request-id", "mine").body(Body::empty()).unwrap();
        let answer = broken.request(request).await;
        answer.assert_error(500, "generic_error", INTERNAL_ERROR);
        assert_eq!(answer.headers["x-request-id"], "mine");
    }

    // In a use case.
    let broken = acme.through(app.broken_replica(Broken::SmsSender, &[]).await);
    let new_device = json!({"person_id": "ada", "key_type": "ecdsa-p256", "key": Phone::new(1).key()});
    for _ in 0..2 {
        broken.post(DEVICES, new_device.clone()).await.assert_error(500, "generic_error", INTERNAL_ERROR);
        broken.get(DEVICES).await.assert_status(200);
    }
    acme.bind("ada", &Phone::new(1)).await;
}

async fn a_missing_table_is_500_without_details(app: TestApp) {
    let acme = app.partner();
    let url = app.database.url();
    crate::harness::sql::texts(url, "alter table mobile_number rename to elsewhere").await;
    acme.get("/v1/persons/ada/mobile_number").await.assert_error(500, "generic_error", INTERNAL_ERROR);
    let created = acme.post("/v1/persons/ada/mobile_number", json!({"number": NUMBER})).await;
    created.assert_error(500, "generic_error", INTERNAL_ERROR);
    acme.get(DEVICES).await.assert_status(200);
}

#[tokio::test]
async fn a_request_past_its_deadline_is_503() {
    let app = TestApp::with(Engine::Sqlite, &[]).await;
    let acme = app.partner();
    acme.verified_person("ada").await;
    let hanging = app.broken_replica(Broken::HangingSmsSender, &[("REQUEST_DEADLINE_SECONDS", "1")]).await;
    let new_device = json!({"person_id": "ada", "key_type": "ecdsa-p256", "key": Phone::new(1).key()});
    let answer = acme.through(hanging).post(DEVICES, new_device).await;
    answer.assert_error(503, "service_unavailable", UNAVAILABLE);
    assert_eq!(answer.headers["retry-after"], "5");
}

#[tokio::test]
async fn a_draining_service_is_not_ready() {
    let app = TestApp::with(Engine::Sqlite, &[]).await;
    app.stranger().get("/readyz").await.assert_status(200);
    app.app.draining.store(true, std::sync::atomic::Ordering::Relaxed);
    app.stranger().get("/readyz").await.assert_error(503, "service_unavailable", UNAVAILABLE);
    app.stranger().get("/healthz").await.assert_status(200);
    app.partner().get(DEVICES).await.assert_status(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_recovers_from_a_database_outage_without_a_restart() {
    let test = "errors::failures::the_service_recovers_from_a_database_outage_without_a_restart";
    if !can_start_servers_for(test) {
        return;
    }
    let mut server = spawn_blocking(|| PostgresServer::start(&[])).await.unwrap().unwrap();
    let url = server.url("postgres");
    migrate(&DatabaseSettings::new(DatabaseUrl::parse(&url).unwrap())).await.unwrap();
    let settings = [("DATABASE_URL", url.as_str()), ("DATABASE_ACQUIRE_TIMEOUT_SECONDS", "2")];
    let app = TestApp::with(Engine::Sqlite, &settings).await;
    let acme = app.partner();
    acme.verified_person("ada").await;
    let bound = acme.bind("ada", &Phone::new(1)).await.id;
    let asked = acme.ask_for_device("ada", &Phone::new(2)).await.id;
    let signature = Phone::new(2).sign(&app.outbox().last().code());

    let mut server = spawn_blocking(move || server.stop().map(|()| server)).await.unwrap().unwrap();
    let device = format!("{DEVICES}/{bound}");
    let form = Body::from("grant_type=client_credentials&client_id=a&client_secret=b");
    let stranger = app.stranger();
    let answers: [Answer; 6] = tokio::join!(
        acme.get(DEVICES),
        acme.delete(&device),
        acme.answer(&asked, &signature),
        acme.post("/v1/persons/bob/mobile_number", json!({"number": NUMBER})),
        stranger.request(Request::post("/oauth2/token").body(form).unwrap()),
        stranger.get("/readyz"),
    )
    .into();
    for answer in answers {
        answer.assert_error(503, "service_unavailable", UNAVAILABLE);
        assert_eq!(answer.headers["retry-after"], "2");
    }
    stranger.get("/healthz").await.assert_status(200);
    stranger.get(DEVICES).await.assert_status(401);

    let _server = spawn_blocking(move || server.start_again().map(|()| server)).await.unwrap().unwrap();
    retry_until_served(&acme).await;
    acme.get(&device).await.assert_status(200);
    // The answer during the outage was not counted as a failure and had no effect.
    acme.answer(&asked, &signature).await.assert_status(204);
    app.advance(TimeDelta::seconds(1));
    stranger.get("/readyz").await.assert_status(200);
    acme.get("/v1/persons/bob/mobile_number").await.assert_status(404);
}

/// Each broken connection fails one request; the default settings allow ten connections.
async fn retry_until_served(client: &TestClient) {
    for _ in 0..10 {
        if client.get(DEVICES).await.status == 200 {
            return;
        }
    }
    client.get(DEVICES).await.assert_status(200);
}
