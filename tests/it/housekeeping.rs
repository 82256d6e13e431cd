//! Housekeeping: expired rows are removed at their time and not before; other rows stay.

use chrono::TimeDelta;
use device_management::service::Turn;
use device_management::store::{ExpiredRows, SWEEP_BATCH};
use serde_json::json;
use uuid::Uuid;

use crate::harness::{DEVICE_CHALLENGES, Engine, NUMBER, Phone, TestApp, books, on_both_databases_and_citus};

on_both_databases_and_citus![
    a_binding_is_removed_a_day_after_its_expiry_and_its_person_stays,
    stored_outcomes_are_removed_after_a_day,
    messages_are_removed_when_no_limit_counts_them,
    an_expired_code_is_removed_and_its_number_stays,
    an_answered_device_challenge_is_removed_after_two_minutes_and_an_open_one_after_its_expiry,
    an_expired_sms_challenge_is_removed_a_day_after_its_expiry,
    a_batch_is_no_larger_than_its_limit,
    one_replica_at_a_time_does_housekeeping,
    a_thousand_stored_outcomes_are_removed,
    no_index_contains_an_expiry_column,
];

const ATTEMPTS: &str = "select count(*) from person where binding_id is not null or binding_key is not null";

async fn keep_house(app: &TestApp) {
    assert_eq!(app.app.service.keep_house().await.unwrap(), Turn::Done);
}

async fn a_binding_is_removed_a_day_after_its_expiry_and_its_person_stays(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    acme.verified_person("bob").await;
    let bound = acme.bind("ada", &Phone::new(1)).await;
    acme.ask_for_device("bob", &Phone::new(2)).await;
    app.advance(TimeDelta::minutes(5) + TimeDelta::days(1));
    keep_house(&app).await;
    assert_eq!(books::count(&app.database, ATTEMPTS).await, 2);
    app.advance(TimeDelta::microseconds(1));
    keep_house(&app).await;
    assert_eq!(books::count(&app.database, ATTEMPTS).await, 0);
    let acme = app.partner();
    acme.get(&format!("/v1/mfa/devices/{}", bound.id)).await.assert_status(200);
    acme.bind("bob", &Phone::new(3)).await;
    keep_house(&app).await;
    assert_eq!(books::count(&app.database, ATTEMPTS).await, 1, "the new binding stays");
    books::assert_balanced(&app.database).await;
}

async fn stored_outcomes_are_removed_after_a_day(app: TestApp) {
    let stored = "select count(*) from idempotent_request";
    repeat(&app, 1).await;
    app.advance(TimeDelta::hours(24));
    keep_house(&app).await;
    assert_eq!(books::count(&app.database, stored).await, 1);
    app.advance(TimeDelta::microseconds(1));
    keep_house(&app).await;
    assert_eq!(books::count(&app.database, stored).await, 0);
}

async fn messages_are_removed_when_no_limit_counts_them(app: TestApp) {
    let limited = app.partner().through(app.replica(&[("SMS_LIMITS", "enforce")]).await);
    limited.verified_person("ada").await;
    limited.ask_for_device("ada", &Phone::new(1)).await;
    let messages = "select count(*) from sms_sent";
    app.advance(TimeDelta::days(1));
    keep_house(&app).await;
    assert_eq!(books::count(&app.database, messages).await, 1);
    app.advance(TimeDelta::microseconds(1));
    keep_house(&app).await;
    assert_eq!(books::count(&app.database, messages).await, 0);
}

async fn an_expired_code_is_removed_and_its_number_stays(app: TestApp) {
    let path = "/v1/persons/ada/mobile_number";
    app.partner().post(path, json!({"number": NUMBER})).await.assert_status(201);
    app.partner().post(&format!("{path}/authorize"), json!({"number": NUMBER})).await.assert_status(201);
    let codes = "select count(*) from challenge";
    keep_house(&app).await;
    assert_eq!(books::count(&app.database, codes).await, 1);
    app.advance(TimeDelta::days(2));
    keep_house(&app).await;
    assert_eq!(books::count(&app.database, codes).await, 0);
    app.partner().get(path).await.assert_status(200);
}

async fn an_answered_device_challenge_is_removed_after_two_minutes_and_an_open_one_after_its_expiry(app: TestApp) {
    let (acme, phone) = (app.partner(), Phone::new(1));
    acme.verified_person("ada").await;
    let wish = json!({"device_id": acme.bind("ada", &phone).await.id});
    acme.post(DEVICE_CHALLENGES, wish.clone()).await.assert_status(201);
    let challenge = acme.post(DEVICE_CHALLENGES, wish).await.assert_status(201).json();
    let (id, text) = (challenge["id"].as_str().unwrap(), challenge["string_to_sign"].as_str().unwrap());
    acme.sign(id, &phone.sign(text)).await.assert_status(204);
    let challenges = "select count(*) from device_challenge";
    for (later, left) in [
        (TimeDelta::minutes(2), 2),
        (TimeDelta::microseconds(1), 1),
        (TimeDelta::minutes(5) - TimeDelta::microseconds(1), 1),
        (TimeDelta::milliseconds(1), 0),
    ] {
        app.advance(later);
        keep_house(&app).await;
        assert_eq!(books::count(&app.database, challenges).await, left, "after {later}");
    }
}

async fn an_expired_sms_challenge_is_removed_a_day_after_its_expiry(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    acme.sms_challenge("ada").await;
    let challenges = "select count(*) from challenge where kind = 'sms'";
    app.advance(TimeDelta::minutes(5) + TimeDelta::days(1));
    keep_house(&app).await;
    assert_eq!(books::count(&app.database, challenges).await, 1);
    app.advance(TimeDelta::microseconds(1));
    keep_house(&app).await;
    assert_eq!(books::count(&app.database, challenges).await, 0);
}

async fn a_batch_is_no_larger_than_its_limit(app: TestApp) {
    repeat(&app, SWEEP_BATCH + 2).await;
    app.advance(TimeDelta::days(2));
    let now = app.app.service.clock.now();
    for swept in [SWEEP_BATCH, 2, 0] {
        assert_eq!(app.store().sweep(ExpiredRows::Outcomes, now).await.unwrap(), swept);
    }
}

async fn one_replica_at_a_time_does_housekeeping(app: TestApp) {
    repeat(&app, 1).await;
    app.advance(TimeDelta::days(2));
    let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let take = async |holder| {
        let now = app.app.service.clock.now();
        app.store().take_lease("housekeeping", holder, now, TimeDelta::minutes(5)).await.unwrap()
    };
    assert!(take(one).await);
    assert!(!take(other).await);
    assert!(take(one).await, "the holder can take its lease again");
    assert_eq!(app.app.service.keep_house().await.unwrap(), Turn::HeldElsewhere);
    assert_eq!(
        books::count(&app.database, "select count(*) from idempotent_request").await,
        1,
        "without the lease, nothing is removed"
    );
    app.advance(TimeDelta::minutes(5));
    keep_house(&app).await;
    assert_eq!(books::count(&app.database, "select count(*) from idempotent_request").await, 0);
    // The lease is released after the work.
    assert!(take(one).await);
}

async fn a_thousand_stored_outcomes_are_removed(app: TestApp) {
    repeat(&app, 1000).await;
    app.advance(TimeDelta::days(2));
    keep_house(&app).await;
    assert_eq!(books::count(&app.database, "select count(*) from idempotent_request").await, 0);
}

/// Sends requests that each store an outcome.
async fn repeat(app: &TestApp, times: usize) {
    let acme = app.partner();
    for number in 0..times {
        let request = axum::http::Request::post("/v1/mfa/devices").header("idempotency-key", format!("key-{number}"));
        acme.request(request.body(axum::body::Body::from("{}")).unwrap()).await.assert_status(400);
    }
}

/// Requests select a binding by its id and its expiry. With an index on the expiry, Postgres may choose a plan that
/// reads all open bindings for each request.
async fn no_index_contains_an_expiry_column(app: TestApp) {
    let indexes = match app.database.engine() {
        Engine::Postgres | Engine::Distributed | Engine::Citus => {
            "select count(*) from pg_indexes where indexdef like '%expires_at%' and tablename <> 'client_secret'"
        }
        Engine::Sqlite => {
            "select count(*) from sqlite_schema
              where type = 'index' and sql like '%expires_at%' and tbl_name <> 'client_secret'"
        }
    };
    assert_eq!(books::count(&app.database, indexes).await, 0);
}
