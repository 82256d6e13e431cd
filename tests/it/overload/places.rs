//! The limit of concurrent requests, `REQUESTS_AT_ONCE`.

use std::time::Duration;

use axum::Router;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{DEVICES, assert_shed, device_body};
use crate::harness::{Answer, Hold, TestApp, TestClient, on_both_databases};

on_both_databases![
    requests_above_the_limit_are_shed_with_retry_after,
    a_disconnected_request_holds_its_place_until_its_work_ends,
    a_timed_out_request_holds_its_place_until_its_work_ends,
    concurrent_requests_get_exactly_the_configured_places,
];

const PATIENCE: Duration = Duration::from_secs(20);

/// A request that waits for the SMS network.
async fn held(app: &TestApp, client: &TestClient, person: &str, phone: u32) -> (Hold, JoinHandle<Answer>) {
    let hold = app.outbox().hold();
    let client = client.clone();
    let body = device_body(person, phone);
    let request = tokio::spawn(async move { client.post(DEVICES, body).await });
    hold.reached().await;
    (hold, request)
}

/// A replica with this many places, and two persons with verified numbers.
async fn with_places(app: &TestApp, places: &str, settings: &[(&str, &str)]) -> Router {
    for person in ["ada", "bob"] {
        app.partner().verified_person(person).await;
    }
    app.replica(&[&[("REQUESTS_AT_ONCE", places)], settings].concat()).await
}

/// Retries until the request is served.
async fn until_served(client: &TestClient) {
    let served = async {
        while client.get(DEVICES).await.status != 200 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, served).await.expect("the place is released within PATIENCE");
}

async fn requests_above_the_limit_are_shed_with_retry_after(app: TestApp) {
    let replica = with_places(&app, "2", &[]).await;
    let (client, stranger) = (app.partner().through(replica.clone()), app.stranger().through(replica));
    let (first, first_request) = held(&app, &client, "ada", 1).await;
    client.get(DEVICES).await.assert_status(200);
    let (second, second_request) = held(&app, &client, "bob", 2).await;

    for _ in 0..20 {
        assert_shed(&client.get(DEVICES).await);
        assert_shed(&client.post(DEVICES, device_body("ada", 3)).await);
    }
    // The token is checked before a place is taken, so a caller without a token does not see the load.
    stranger.get(DEVICES).await.assert_error(401, "token_required", "send an access token: Authorization: Bearer ...");
    for path in ["/healthz", "/readyz", "/openapi.yaml", "/docs", "/docs/swagger-ui.css"] {
        stranger.get(path).await.assert_status(200);
    }
    stranger.get("/v2").await.assert_status(404);
    stranger.put(DEVICES, json!({})).await.assert_status(405);
    let credentials = json!({"grant_type": "client_credentials", "client_id": "sandbox", "client_secret": "sandbox"});
    stranger.post("/oauth/token", credentials).await.assert_status(200);

    first.release();
    first_request.await.unwrap().assert_status(202);
    client.get(DEVICES).await.assert_status(200);
    second.release();
    second_request.await.unwrap().assert_status(202);
}

async fn a_disconnected_request_holds_its_place_until_its_work_ends(app: TestApp) {
    let client = app.partner().through(with_places(&app, "1", &[]).await);
    let (hold, request) = held(&app, &client, "ada", 1).await;
    request.abort();
    assert!(request.await.is_err_and(|error| error.is_cancelled()));
    assert_shed(&client.get(DEVICES).await);
    hold.release();
    until_served(&client).await;
}

async fn a_timed_out_request_holds_its_place_until_its_work_ends(app: TestApp) {
    let client = app.partner().through(with_places(&app, "1", &[("REQUEST_DEADLINE_SECONDS", "1")]).await);
    let (hold, request) = held(&app, &client, "ada", 1).await;
    let answer = request.await.unwrap();
    answer.assert_status(503);
    assert_eq!(answer.headers["retry-after"], "5");
    assert_shed(&client.get(DEVICES).await);
    hold.release();
    until_served(&client).await;
}

async fn concurrent_requests_get_exactly_the_configured_places(app: TestApp) {
    let client = app.partner().through(with_places(&app, "3", &[]).await);
    let (hold, request) = held(&app, &client, "ada", 1).await;
    let (other_hold, other_request) = held(&app, &client, "bob", 2).await;
    // A third request holds the last place, so all other requests are shed.
    let (last_hold, last_request) = held(&app, &client, "bob", 3).await;
    let crowd: Vec<_> = (0..50)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.get(DEVICES).await.status.as_u16() })
        })
        .collect();
    for status in crowd {
        assert_eq!(status.await.unwrap(), 503);
    }
    for (hold, request) in [(hold, request), (other_hold, other_request), (last_hold, last_request)] {
        hold.release();
        request.await.unwrap().assert_status(202);
    }
    // Exactly three places are free again.
    let (hold, request) = held(&app, &client, "ada", 4).await;
    let (other_hold, other_request) = held(&app, &client, "bob", 5).await;
    client.get(DEVICES).await.assert_status(200);
    let (last_hold, last_request) = held(&app, &client, "bob", 6).await;
    assert_shed(&client.get(DEVICES).await);
    for (hold, request) in [(hold, request), (other_hold, other_request), (last_hold, last_request)] {
        hold.release();
        request.await.unwrap().assert_status(202);
    }
}
