//! Words in `device_data` that select the outcome of the fraud check, in the sandbox without SEON.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Production;
use crate::activation_codes::{activation_code, binding_by_letter};
use crate::harness::{
    Answer, DEVICE_CHALLENGES, Phone, SMS_CHALLENGES, TestApp, TestClient, free_port, on_both_databases, sql,
};

on_both_databases![
    a_declined_device_is_refused_as_with_enforcement,
    every_request_with_device_data_can_be_declined,
    outcomes_that_decline_nothing_are_recorded_and_allowed,
    without_a_result_the_setting_for_errors_decides,
    the_observe_policy_allows_a_declined_device,
    other_data_is_not_assessed,
    with_seon_the_words_have_no_meaning,
    in_production_the_words_have_no_meaning,
];

const DECLINED: &str = "the device was declined";

/// `a sandbox:decline` in Base64, without padding and with it.
const ENCODED: &str = "YSBzYW5kYm94OmRlY2xpbmU";
const PADDED: &str = "YSBzYW5kYm94OmRlY2xpbmU=";

async fn client(app: &TestApp, settings: &[(&str, &str)]) -> TestClient {
    app.partner().through(app.replica(settings).await)
}

async fn sms_challenge(client: &TestClient, device_data: &str) -> Answer {
    client.post(SMS_CHALLENGES, json!({"person_id": "ada", "device_data": device_data})).await
}

/// Every stored assessment: action, state, allowed.
async fn assessments(app: &TestApp) -> Vec<String> {
    let query = "select action || ' ' || state || ' ' || allowed from fraud_assessment order by assessment_id";
    sql::texts(app.database.url(), query).await
}

async fn a_declined_device_is_refused_as_with_enforcement(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let wish = |data: &str| json!({"person_id": "ada", "key_type": "ecdsa-p256", "key": Phone::new(1).key(), "device_data": data});
    for data in ["sandbox:decline", "Web;sandbox:decline;x", ENCODED, PADDED] {
        let refused = acme.post("/v1/mfa/devices", wish(data)).await;
        refused.assert_error(403, "unauthorized_action", DECLINED);
    }
    assert_eq!(assessments(&app).await, ["device_binding decline no"; 4]);
    assert!(app.outbox().messages().is_empty(), "nothing was sent");
}

async fn every_request_with_device_data_can_be_declined(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let (phone, second) = (Phone::new(1), Phone::new(2));
    let device = acme.bind("ada", &phone).await.id;
    let with_data = |mut body: Value| {
        body["device_data"] = json!("sandbox:decline");
        body
    };
    let key = with_data(phone.vouch_for(&second));
    let keys = format!("/v1/mfa/devices/{device}/keys");
    acme.post(&keys, key).await.assert_error(403, "unauthorized_action", DECLINED);
    let challenge = with_data(json!({"device_id": device}));
    acme.post(DEVICE_CHALLENGES, challenge).await.assert_error(403, "unauthorized_action", DECLINED);
    sms_challenge(&acme, "sandbox:decline").await.assert_error(403, "unauthorized_action", DECLINED);
    let pending = acme.ask_for_device("ada", &second).await.id;
    let signed = with_data(json!({"signature": second.sign(&app.outbox().last().code())}));
    let answered = acme.put(&format!("/v1/mfa/challenges/signatures/{pending}"), signed).await;
    answered.assert_error(403, "unauthorized_action", DECLINED);
}

async fn outcomes_that_decline_nothing_are_recorded_and_allowed(app: TestApp) {
    let acme = client(&app, &[("SEON_TIMEOUT_MS", "100")]).await;
    acme.verified_person("ada").await;
    for word in ["review", "timeout", "broken"] {
        let started = Instant::now();
        sms_challenge(&acme, &format!("sandbox:{word}")).await.assert_status(201);
        let is_slow = started.elapsed() >= Duration::from_millis(100);
        assert!(is_slow || word != "timeout", "a check that times out takes as long as its timeout");
    }
    let expected = ["sms_challenge review yes", "sms_challenge timeout yes", "sms_challenge unreadable yes"];
    assert_eq!(assessments(&app).await, expected);
}

async fn without_a_result_the_setting_for_errors_decides(app: TestApp) {
    let acme = client(&app, &[("SEON_ON_ERROR", "deny"), ("SEON_TIMEOUT_MS", "100")]).await;
    acme.verified_person("ada").await;
    for word in ["timeout", "broken"] {
        let refused = sms_challenge(&acme, &format!("sandbox:{word}")).await;
        refused.assert_error(403, "unauthorized_action", DECLINED);
    }
    sms_challenge(&acme, "sandbox:review").await.assert_status(201);
}

async fn the_observe_policy_allows_a_declined_device(app: TestApp) {
    let acme = client(&app, &[("SEON_POLICY", "observe")]).await;
    acme.verified_person("ada").await;
    sms_challenge(&acme, "sandbox:decline").await.assert_status(201);
    assert_eq!(assessments(&app).await, ["sms_challenge decline yes"]);
}

async fn other_data_is_not_assessed(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    for data in ["sandbox:", "sandbox: decline", "decline", "SANDBOX:DECLINE", "{}"] {
        sms_challenge(&acme, data).await.assert_status(201);
    }
    assert_eq!(assessments(&app).await, [""; 0]);
}

async fn with_seon_the_words_have_no_meaning(app: TestApp) {
    let nowhere = format!("http://127.0.0.1:{}", free_port());
    let seon = [("SEON_API_KEY", "a-licence"), ("SEON_BASE_URL", &*nowhere), ("SEON_POLICY", "enforce")];
    let acme = client(&app, &seon).await;
    acme.verified_person("ada").await;
    sms_challenge(&acme, "sandbox:decline").await.assert_status(201);
    assert_eq!(assessments(&app).await, ["sms_challenge unreachable yes"]);
}

async fn in_production_the_words_have_no_meaning(Production(app): Production) {
    let acme = app.partner();
    let phone = Phone::new(1);
    let letter = activation_code(&acme, "ada").await;
    let mut wish = binding_by_letter("ada", &phone);
    wish["device_data"] = json!("sandbox:decline");
    let device = acme.post("/v1/mfa/devices", wish).await.assert_status(202).json();
    let device = device["id"].as_str().expect("an id");
    acme.answer(device, &phone.sign(&letter.code)).await.assert_status(204);
    let challenge = json!({"device_id": device, "device_data": "sandbox:decline"});
    acme.post(DEVICE_CHALLENGES, challenge).await.assert_status(201);
    assert_eq!(assessments(&app).await, [""; 0]);
}
