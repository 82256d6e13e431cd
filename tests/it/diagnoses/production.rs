//! Production names no mistake in a wrong signature: each gets the same answer after the same calls of the store.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use super::signatures::MISTAKES;
use crate::harness::{Answer, DEVICE_CHALLENGES, Phone, TestApp, TestClient, on_both_databases};

on_both_databases![
    in_production_every_wrong_signature_over_a_code_has_the_same_answer,
    in_production_every_wrong_signature_over_a_device_challenge_has_the_same_answer,
    in_production_every_wrong_signature_over_a_new_key_has_the_same_answer,
    in_production_every_wrong_code_has_the_same_answer,
];

/// The calls of the store for a wrong answer: a read and a write; of a new key's signature also the failures.
const CALLS: usize = 2;

async fn in_production_every_wrong_signature_over_a_code_has_the_same_answer(app: TestApp) {
    let (router, calls) = app.production_replica().await;
    let acme = app.partner().through(router);
    let phone = Phone::new(1);
    let mut bodies = Vec::new();
    for (number, (_, sign)) in MISTAKES.iter().enumerate() {
        let person = format!("person-{number}");
        acme.verified_person(&person).await;
        acme.bind(&person, &Phone::new(u32::try_from(number).unwrap() + 1000)).await;
        let earlier = app.outbox().last().code();
        let asked = acme.ask_for_device(&person, &phone).await;
        let code = app.outbox().last().code();
        let path = format!("/v1/mfa/challenges/signatures/{}", asked.id);
        for signature in [sign(&phone, &code), phone.sign(&earlier), phone.sign("unknown")] {
            calls.take();
            bodies.push(put(&acme, "PUT", &path, &json!({"signature": signature})).await);
            assert_eq!(calls.take(), CALLS);
        }
    }
    assert_all_equal(&bodies, "the signature is wrong");
}

async fn in_production_every_wrong_signature_over_a_device_challenge_has_the_same_answer(app: TestApp) {
    let (router, calls) = app.production_replica().await;
    let acme = app.partner().through(router);
    let mut answers = Vec::new();
    for (number, (_, sign)) in MISTAKES.iter().enumerate() {
        let (person, seed) = (format!("person-{number}"), u32::try_from(number).unwrap());
        let (phone, other) = (Phone::new(seed), Phone::new(seed + 1000));
        acme.verified_person(&person).await;
        let device = acme.bind(&person, &phone).await.id;
        acme.bind(&person, &other).await;
        let challenge = acme.challenge(&device).await;
        let path = format!("{DEVICE_CHALLENGES}/{}", challenge.id);
        for signature in
            [sign(&phone, &challenge.text), phone.sign(&challenge.declining()), other.sign(&challenge.text)]
        {
            calls.take();
            answers.push(put(&acme, "PUT", &path, &json!({"signature": signature})).await);
            assert_eq!(calls.take(), CALLS);
        }
    }
    assert_all_equal(&answers, "the signature is wrong");
}

async fn in_production_every_wrong_signature_over_a_new_key_has_the_same_answer(app: TestApp) {
    let (router, calls) = app.production_replica().await;
    let acme = app.partner().through(router);
    let new = Phone::new(5000);
    let mut answers = Vec::new();
    for (number, (_, sign)) in MISTAKES.iter().enumerate() {
        let (person, phone) = (format!("person-{number}"), Phone::new(u32::try_from(number).unwrap()));
        acme.verified_person(&person).await;
        let device = acme.bind(&person, &phone).await.id;
        for signature in [sign(&phone, &new.key()), new.sign(&new.key()), phone.sign("unknown")] {
            let body = json!({
                "key": new.key(),
                "key_type": "ecdsa-p256",
                "device_signature": {"signature_key_purpose": "unrestricted", "signature": signature},
            });
            calls.take();
            answers.push(put(&acme, "POST", &format!("/v1/mfa/devices/{device}/keys"), &body).await);
            assert_eq!(calls.take(), CALLS + 1);
        }
    }
    assert_all_equal(&answers, "the signature is wrong");
}

async fn in_production_every_wrong_code_has_the_same_answer(app: TestApp) {
    let (router, calls) = app.production_replica().await;
    let acme = app.partner().through(router);
    acme.verified_person("ada").await;
    let first = acme.sms_challenge("ada").await;
    acme.ask_for_device("ada", &Phone::new(1)).await;
    let for_binding = app.outbox().last().code();
    let second = acme.sms_challenge("ada").await;
    let path = format!("/v1/mfa/challenges/sms/{}", second.id);
    let mut answers = Vec::new();
    for code in [first.code, for_binding, second.wrong_code()] {
        calls.take();
        answers.push(put(&acme, "PUT", &path, &json!({"code": code})).await);
        assert_eq!(calls.take(), CALLS);
    }
    assert_all_equal(&answers, "the code is wrong or expired");
}

/// Sends a request under a fixed id, so that answers can be compared.
async fn put(client: &TestClient, method: &str, path: &str, body: &Value) -> Answer {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    client.request(request.header("x-request-id", "the-same").body(Body::from(body.to_string())).unwrap()).await
}

#[track_caller]
fn assert_all_equal(answers: &[Answer], detail: &str) {
    for answer in answers {
        answer.assert_error(403, "invalid_tan", detail);
        assert_eq!((&answer.headers, &answer.body), (&answers[0].headers, &answers[0].body));
    }
}
