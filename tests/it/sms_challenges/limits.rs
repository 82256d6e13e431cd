//! The limits that SMS challenges share with bindings and codes for numbers.

use chrono::TimeDelta;
use serde_json::json;

use super::{assert_not_open, assert_wrong, path};
use crate::harness::{Engine, NUMBER, Network, Phone, SMS_CHALLENGES, Start, TestApp, on_both_databases};

on_both_databases![
    failures_of_sms_challenges_and_bindings_count_together,
    a_right_code_resets_the_failures,
    an_sms_for_a_binding_delays_the_next_sms_challenge,
    an_sms_that_no_provider_took_is_not_counted,
];

/// The service with its SMS limits enforced.
struct Limited(TestApp);

impl Start for Limited {
    async fn start(engine: Engine) -> Self {
        Self(TestApp::with(engine, &[("SMS_LIMITS", "enforce")]).await)
    }
}

async fn failures_of_sms_challenges_and_bindings_count_together(app: TestApp) {
    let acme = app.partner();
    let phone = Phone::new(1);
    acme.verified_person("ada").await;
    let binding = acme.ask_for_device("ada", &phone).await;
    for _ in 0..2 {
        acme.answer(&binding.id, &phone.sign("wrong")).await.assert_status(403);
    }
    let challenge = acme.sms_challenge("ada").await;
    for _ in 0..2 {
        assert_wrong(&acme.type_code(&challenge.id, &challenge.wrong_code()).await);
    }
    acme.answer(&binding.id, &phone.sign("wrong")).await.assert_status(403);
    let paused = acme.type_code(&challenge.id, &challenge.code).await;
    paused.assert_error(429, "too_many_requests", "too many failed attempts; wait and start again");
    assert_eq!(paused.headers["retry-after"], "1800");
    // A challenge that waits is open, and a malformed answer is reported.
    acme.get(&path(&challenge.id)).await.assert_status(200);
    acme.put(&path(&challenge.id), json!({})).await.assert_faults(&[("code", "is required")]);
    acme.post(SMS_CHALLENGES, json!({"person_id": "ada"})).await.assert_status(429);
    let sent = app.outbox().messages().len();
    app.advance(TimeDelta::minutes(30));
    assert_not_open(&acme.type_code(&challenge.id, &challenge.code).await, &challenge.id);
    assert_eq!(app.outbox().messages().len(), sent);
    let challenge = acme.sms_challenge("ada").await;
    acme.type_code(&challenge.id, &challenge.code).await.assert_status(204);
}

async fn a_right_code_resets_the_failures(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    for _ in 0..4 {
        let challenge = acme.sms_challenge("ada").await;
        for _ in 0..2 {
            assert_wrong(&acme.type_code(&challenge.id, &challenge.wrong_code()).await);
        }
        acme.type_code(&challenge.id, &challenge.code).await.assert_status(204);
    }
}

async fn an_sms_for_a_binding_delays_the_next_sms_challenge(Limited(app): Limited) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    acme.ask_for_device("ada", &Phone::new(1)).await;
    let early = acme.post(SMS_CHALLENGES, json!({"person_id": "ada"})).await;
    let detail = "too many messages were sent recently; wait before requesting another";
    early.assert_error(429, "too_many_requests", detail);
    assert_eq!(early.headers["retry-after"], "30");
    app.advance(TimeDelta::seconds(30));
    acme.sms_challenge("ada").await;
    let code = json!({"number": NUMBER});
    acme.post("/v1/persons/ada/mobile_number/authorize", code).await.assert_status(429);
    // Another person with the same number shares its limit.
    acme.verified_person("bob").await;
    acme.post(SMS_CHALLENGES, json!({"person_id": "bob"})).await.assert_status(429);
}

async fn an_sms_that_no_provider_took_is_not_counted(Limited(app): Limited) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    app.network(Network::IsDown);
    for _ in 0..3 {
        acme.post(SMS_CHALLENGES, json!({"person_id": "ada"})).await.assert_status(502);
    }
    app.network(Network::Works);
    acme.sms_challenge("ada").await;
    acme.post(SMS_CHALLENGES, json!({"person_id": "ada"})).await.assert_status(429);
}
