//! Timestamps from a clock that was days ahead block nothing after the clock is corrected.

use axum::body::Body;
use axum::http::Request;
use chrono::TimeDelta;
use device_management::domain::numbers::country::Country;
use device_management::domain::person::PartnerId;
use device_management::domain::sms::conversion::{Destination, Tally, minute_of};
use device_management::service::{ConversionBook, Turn};
use device_management::store::SentMinute;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Answer, Broken, NUMBER, Phone, TestApp, TestClient, on_both_databases, sql};
use crate::sms_conversion::{Watched, trip};

on_both_databases![
    a_housekeeping_lease_from_a_future_clock_has_ended,
    an_idempotency_claim_from_a_future_clock_has_ended,
    an_outcome_stored_under_a_future_clock_is_replayed,
    a_conversion_reset_from_a_future_clock_is_ignored,
    codes_counted_by_a_future_clock_do_not_prolong_a_pause,
];

/// How far the wrong clock is ahead.
const AHEAD: TimeDelta = TimeDelta::days(3);

/// Runs a future while the clock is ahead.
async fn while_ahead<T>(app: &TestApp, deed: impl Future<Output = T>) -> T {
    app.advance(AHEAD);
    let outcome = deed.await;
    app.advance(-AHEAD);
    outcome
}

async fn a_housekeeping_lease_from_a_future_clock_has_ended(app: TestApp) {
    let (service, longest) = (&app.app.service, TimeDelta::minutes(5));
    let take = async |holder: u128| {
        let now = service.clock.now();
        app.store().take_lease("housekeeping", Uuid::from_u128(holder), now, longest).await.unwrap()
    };
    assert!(while_ahead(&app, take(1)).await);
    assert_eq!(service.keep_house().await.unwrap(), Turn::Done);
    // A lease that another replica with a slightly faster clock has just taken is valid.
    app.advance(TimeDelta::minutes(1));
    assert!(take(2).await);
    app.advance(-TimeDelta::minutes(1));
    assert_eq!(service.keep_house().await.unwrap(), Turn::HeldElsewhere);
    // A lease that ends one microsecond later than the longest lease from now is not.
    app.advance(TimeDelta::minutes(1) + TimeDelta::microseconds(1));
    assert!(take(2).await);
    app.advance(-TimeDelta::minutes(1) - TimeDelta::microseconds(1));
    assert_eq!(service.keep_house().await.unwrap(), Turn::Done);
}

async fn post_with_key(client: &TestClient, path: &str, body: &Value) -> Answer {
    let request = Request::post(path).header("idempotency-key", "key").body(Body::from(body.to_string())).unwrap();
    client.request(request).await
}

/// Sends a request to a replica whose clock is ahead and which is lost while it sends the SMS.
async fn lose_ahead(app: &TestApp, path: &str, body: &Value) {
    let hanging = app.broken_replica(Broken::HangingSmsSender, &[("REQUEST_DEADLINE_SECONDS", "1")]).await;
    let lost = async { post_with_key(&app.partner().through(hanging), path, body).await.assert_status(503).status };
    while_ahead(app, lost).await;
}

async fn an_idempotency_claim_from_a_future_clock_has_ended(app: TestApp) {
    app.partner().verified_person("ada").await;
    let (path, body) = ("/v1/persons/ada/mobile_number/authorize", json!({"number": NUMBER}));
    lose_ahead(&app, path, &body).await;
    // As if the process had died before its work.
    sql::execute(app.database.url(), "update idempotent_request set outcome = null, request_id = null").await;
    let answer = post_with_key(&app.partner(), path, &body).await;
    assert_eq!(answer.assert_status(201).headers.get("idempotency-replayed"), None);
}

async fn an_outcome_stored_under_a_future_clock_is_replayed(app: TestApp) {
    app.partner().verified_person("ada").await;
    let new_device = json!({"person_id": "ada", "key_type": "ecdsa-p256", "key": Phone::new(1).key()});
    lose_ahead(&app, "/v1/mfa/devices", &new_device).await;
    let answer = post_with_key(&app.partner(), "/v1/mfa/devices", &new_device).await;
    assert_eq!(answer.assert_status(202).headers["idempotency-replayed"], "true");
}

async fn a_conversion_reset_from_a_future_clock_is_ignored(Watched(app): Watched) {
    let service = &app.app.service;
    let book = ConversionBook {
        store: app.store(),
        clock: &*service.clock,
        entropy: &*service.entropy,
        policy: &service.policy,
    };
    let destination = Destination { partner: partner(), country: Country::parse("DE").unwrap() };
    while_ahead(&app, book.resume(&destination)).await.unwrap();
    trip(&app, &app.partner(), NUMBER).await;
}

async fn codes_counted_by_a_future_clock_do_not_prolong_a_pause(Watched(app): Watched) {
    let acme = app.partner();
    let destination = Destination { partner: partner(), country: Country::parse("DE").unwrap() };
    let minute = minute_of(app.app.service.clock.now() + AHEAD);
    let counted = [(SentMinute { destination, minute }, Tally { sent: 1, used: 0 })];
    app.store().add_sms_conversion(&counted).await.unwrap();
    trip(&app, &acme, NUMBER).await;
    acme.verified_person("bob").await;
    let new_device = json!({"person_id": "bob", "key_type": "ecdsa-p256", "key": Phone::new(1).key()});
    let refused = acme.post("/v1/mfa/devices", new_device).await;
    let wait: i64 = refused.assert_status(429).headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!(wait <= 3600, "{wait} s");
}

fn partner() -> PartnerId {
    PartnerId::parse("acme").unwrap()
}
