//! `/sandbox/clock`: what a tester advances through HTTP. The test's own clock stands still.

use axum::body::Body;
use axum::http::Request;
use chrono::TimeDelta;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Phone, SMS_CHALLENGES, TestApp, TestClient, books, on_both_databases};

on_both_databases![
    the_clock_shows_the_time_of_the_service,
    a_challenge_expires,
    a_cool_down_ends,
    an_access_token_expires,
    housekeeping_and_sealing_have_run_when_the_clock_is_advanced,
    a_lease_that_is_not_released_is_503,
    an_advance_is_a_whole_number_of_seconds_within_ten_years,
    the_clock_goes_forward_by_100_years_at_most,
];

const CLOCK: &str = "/sandbox/clock";
const DAY: i64 = 86_400;

async fn advance(client: &TestClient, seconds: i64) -> Value {
    client.post(CLOCK, json!({"advance_seconds": seconds})).await.assert_status(200).json()
}

async fn the_clock_shows_the_time_of_the_service(app: TestApp) {
    let acme = app.partner();
    let start = json!({"now": "2022-03-18T14:50:04Z", "advanced_seconds": 0});
    assert_eq!(acme.get(CLOCK).await.assert_status(200).json(), start);
    let later = json!({"now": "2022-03-18T14:55:05Z", "advanced_seconds": 301});
    assert_eq!(advance(&acme, 301).await, later);
    let ready = app.stranger().get("/readyz").await.assert_status(200).json();
    assert_eq!(ready, json!({"status": "ready", "clock": later}));
    // Real time goes on.
    app.advance(TimeDelta::seconds(2));
    let later = json!({"now": "2022-03-18T14:56:07Z", "advanced_seconds": 361});
    assert_eq!(advance(&acme, 60).await, later);
    assert_eq!(acme.get(CLOCK).await.json(), later);
    acme.verified_person("ada").await;
    let opened = acme.post(SMS_CHALLENGES, json!({"person_id": "ada"})).await.json();
    assert_eq!(opened["created_at"], later["now"]);
}

async fn a_challenge_expires(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let phone = Phone::new(1);
    let device = acme.ask_for_device("ada", &phone).await.id;
    let signature = phone.sign(&app.outbox().last().code());
    let challenge = format!("/v1/mfa/challenges/signatures/{device}");
    advance(&acme, 299).await;
    acme.get(&challenge).await.assert_status(200);
    advance(&acme, 1).await;
    acme.get(&challenge).await.assert_status(404);
    acme.answer(&device, &signature).await.assert_status(404);
    acme.bind("ada", &phone).await;
}

async fn a_cool_down_ends(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    for _ in 0..2 {
        let challenge = acme.sms_challenge("ada").await;
        for _ in 0..3 {
            acme.type_code(&challenge.id, &challenge.wrong_code()).await;
        }
    }
    let wish = json!({"person_id": "ada"});
    let paused = acme.post(SMS_CHALLENGES, wish.clone()).await;
    let seconds: i64 = paused.assert_status(429).headers["retry-after"].to_str().unwrap().parse().unwrap();
    advance(&acme, seconds - 1).await;
    acme.post(SMS_CHALLENGES, wish.clone()).await.assert_status(429);
    advance(&acme, 1).await;
    acme.post(SMS_CHALLENGES, wish).await.assert_status(201);
}

async fn an_access_token_expires(app: TestApp) {
    let form = "grant_type=client_credentials&client_id=sandbox&client_secret=sandbox";
    let token = async || {
        let request = Request::post("/oauth2/token").body(Body::from(form)).unwrap();
        app.stranger().request(request).await.assert_status(200).json()
    };
    let first = token().await;
    let client = app.with_token(first["access_token"].as_str());
    advance(&client, first["expires_in"].as_i64().unwrap() - 1).await;
    client.get("/v1/mfa/devices").await.assert_status(200);
    advance(&client, 1).await;
    client.get("/v1/mfa/devices").await.assert_error(401, "invalid_token", "the access token is invalid or expired");
    client.post(CLOCK, json!({"advance_seconds": 1})).await.assert_status(401);
    let client = app.with_token(token().await["access_token"].as_str());
    client.get("/v1/mfa/devices").await.assert_status(200);
}

async fn housekeeping_and_sealing_have_run_when_the_clock_is_advanced(app: TestApp) {
    const BINDINGS: &str = "select count(*) from person where binding_id is not null";
    const UNSEALED: &str = "select count(*) from audit_pending";
    let acme = app.partner();
    acme.verified_person("ada").await;
    acme.ask_for_device("ada", &Phone::new(1)).await;
    assert_ne!(books::count(&app.database, UNSEALED).await, 0);
    // The token lives for an hour.
    advance(&acme, 300 + DAY).await;
    assert_eq!(books::count(&app.database, BINDINGS).await, 1);
    assert_eq!(books::count(&app.database, UNSEALED).await, 0);
    let acme = app.partner();
    advance(&acme, 1).await;
    assert_eq!(books::count(&app.database, BINDINGS).await, 0);
    books::assert_balanced(&app.database).await;
}

async fn a_lease_that_is_not_released_is_503(app: TestApp) {
    let acme = app.partner();
    let (service, holder) = (&app.app.service, Uuid::from_u128(1));
    let longest = TimeDelta::minutes(5);
    assert!(app.store().take_lease("housekeeping", holder, service.clock.now(), longest).await.unwrap());
    let refused = acme.post(CLOCK, json!({"advance_seconds": 1})).await;
    refused.assert_status(503);
    assert_eq!(acme.get(CLOCK).await.json()["advanced_seconds"], 1, "the time has moved");
    app.store().end_lease("housekeeping", holder, service.clock.now()).await.unwrap();
    advance(&acme, 1).await;
}

async fn an_advance_is_a_whole_number_of_seconds_within_ten_years(app: TestApp) {
    let acme = app.partner();
    let bounds = "must be a whole number from 1 to 315360000";
    for (body, message) in [
        (json!({}), "is required"),
        (json!({"advance_seconds": null}), "is required"),
        (json!({"advance_seconds": 0}), bounds),
        (json!({"advance_seconds": -1}), bounds),
        (json!({"advance_seconds": 315_360_001}), bounds),
        (json!({"advance_seconds": 1.5}), bounds),
        (json!({"advance_seconds": 1e300}), bounds),
        (json!({"advance_seconds": u64::MAX}), bounds),
        (json!({"advance_seconds": "60"}), "must be a number, not a string"),
    ] {
        acme.post(CLOCK, body).await.assert_faults(&[("advance_seconds", message)]);
    }
    acme.send("POST", CLOCK, None).await.assert_status(400);
    assert_eq!(acme.get(CLOCK).await.json()["advanced_seconds"], 0, "nothing was advanced");
    acme.post(CLOCK, json!({"advance_seconds": 2.0})).await.assert_status(200);
    assert_eq!(acme.get(CLOCK).await.json()["advanced_seconds"], 2);
}

async fn the_clock_goes_forward_by_100_years_at_most(app: TestApp) {
    let decade = 315_360_000_i64;
    for years in 1..=10 {
        let moved = advance(&app.partner(), decade - i64::from(years == 10)).await;
        assert_eq!(moved["advanced_seconds"], decade * years - i64::from(years == 10));
    }
    let message = "must be at most 1: the clock goes forward by 100 years at most; restart the service for real time";
    let acme = app.partner();
    acme.post(CLOCK, json!({"advance_seconds": 2})).await.assert_faults(&[("advance_seconds", message)]);
    assert_eq!(advance(&acme, 1).await["now"], "2122-02-22T14:50:04Z");
    app.partner().get("/v1/mfa/devices").await.assert_status(200);
}
