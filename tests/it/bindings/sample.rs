//! The published sample requests, which existing clients follow: these bodies must bind a device byte for byte.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use super::{DEVICES, challenge_path, device_path};
use crate::harness::{Answer, Engine, Start, TestApp, TestClient, on_both_databases};

const ASK: &str = include_str!("sample/ask.json");
const ANSWER: &str = include_str!("sample/answer.json");
const PERSON: &str = "ec3d16cbc106f481b72d881d90c89cc5cper";

/// The service in the sandbox, with the fixed code that the sample's signature signs.
struct Sandbox(TestApp);

impl Start for Sandbox {
    async fn start(engine: Engine) -> Self {
        Self(TestApp::with(engine, &[("SANDBOX_OTP", "212212")]).await)
    }
}

on_both_databases![the_sample_bodies_bind_a_device, the_samples_placeholder_is_not_a_valid_challenge_type];

async fn the_sample_bodies_bind_a_device(Sandbox(app): Sandbox) {
    let acme = app.partner();
    acme.verified_person(PERSON).await;
    let ask = ASK.replace(r#""challenge_type": "string""#, r#""challenge_type": "sms""#);
    assert_ne!(ask, ASK);

    let asked = send(&acme, "POST", DEVICES, &ask).await;
    asked.assert_status(202);
    let asked = asked.json();
    let (id, key_id) = (asked["id"].as_str().unwrap(), asked["key_id"].as_str().unwrap());
    let expected = json!({
        "id": id,
        "key_id": key_id,
        "challenge": {
            "id": id,
            "type": "signature",
            "created_at": "2022-03-18T14:50:04Z",
            "expires_at": "2022-03-18T14:55:04Z",
        },
    });
    assert_eq!(asked, expected);
    let text =
        "Device Management: Your code 212212 registers a new phone. Never share it, not even with us.\ne2e-e2e-e2e";
    assert_eq!(app.outbox().last().text, text);

    send(&acme, "PUT", &challenge_path(id), ANSWER).await.assert_status(204);
    let expected = json!([{
        "device_id": id,
        "person_id": PERSON,
        "name": "Test device",
        "created_at": "2022-03-18T14:50:04Z",
        "keys": [{
            "key_id": key_id,
            "key_purpose": "unrestricted",
            "key_type": "ecdsa-p256",
            "used_at": "2022-03-18T14:50:04Z",
        }],
    }]);
    assert_eq!(acme.get(&format!("{}/keys", device_path(id))).await.json(), expected);
}

async fn the_samples_placeholder_is_not_a_valid_challenge_type(Sandbox(app): Sandbox) {
    let acme = app.partner();
    acme.verified_person(PERSON).await;
    let device_data = serde_json::from_str::<Value>(ASK).unwrap()["device_data"].as_str().unwrap().len();
    assert_eq!(device_data, 3394, "the sample is complete");
    send(&acme, "POST", DEVICES, ASK)
        .await
        .assert_faults(&[("challenge_type", "must be one of: sms, activation_code")]);
}

/// Sends a body byte for byte.
async fn send(client: &TestClient, method: &str, path: &str, body: &str) -> Answer {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    client.request(request.body(Body::from(body.to_owned())).unwrap()).await
}
