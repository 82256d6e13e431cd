//! Answering a challenge.

use chrono::TimeDelta;
use serde_json::json;

use super::{answer_in_full, assert_not_open, assert_wrong, bound, first_key, path};
use crate::harness::{DEVICE_CHALLENGES, Phone, TestApp, in_every_form};

in_every_form![
    a_right_signature_is_accepted_once_and_marks_the_key_as_used,
    the_same_signature_within_a_minute_is_answered_again,
    a_preference_for_a_representation_is_answered_with_the_result,
    three_wrong_signatures_close_a_challenge_and_no_other,
    five_wrong_signatures_pause_the_device_and_no_other,
    a_malformed_answer_costs_no_attempt,
];

async fn a_right_signature_is_accepted_once_and_marks_the_key_as_used(app: TestApp) {
    let acme = app.partner();
    let phone = Phone::new(1);
    let device = bound(&acme, "ada", &phone).await;
    let challenge = acme.challenge(&device).await;
    app.advance(TimeDelta::seconds(30));
    let answer = acme.sign(&challenge.id, &phone.sign(&challenge.text)).await;
    answer.assert_status(204);
    assert!(answer.body.is_empty());
    assert_eq!(first_key(&acme, &device).await["used_at"], "2022-03-18T14:50:34Z");
    assert_not_open(&acme.get(&path(&challenge.id)).await, &challenge.id);
    // Another valid signature over the same text is a second answer.
    let second = phone.sign_with_nonce(&challenge.text, 7);
    assert_not_open(&acme.sign(&challenge.id, &second).await, &challenge.id);
}

async fn the_same_signature_within_a_minute_is_answered_again(app: TestApp) {
    let acme = app.partner();
    let phone = Phone::new(1);
    let device = bound(&acme, "ada", &phone).await;
    let challenge = acme.challenge(&device).await;
    let signature = phone.sign(&challenge.text);
    acme.sign(&challenge.id, &signature).await.assert_status(204);
    app.advance(TimeDelta::seconds(59));
    acme.sign(&challenge.id, &signature).await.assert_status(204);
    // The signature approved: it does not decline, not even as a repeat.
    let declining = json!({"signature": signature, "decision": "declined"});
    assert_not_open(&acme.put(&path(&challenge.id), declining).await, &challenge.id);
    app.advance(TimeDelta::seconds(1));
    assert_not_open(&acme.sign(&challenge.id, &signature).await, &challenge.id);
}

async fn a_preference_for_a_representation_is_answered_with_the_result(app: TestApp) {
    let acme = app.partner();
    let phone = Phone::new(1);
    let device = bound(&acme, "ada", &phone).await;
    let challenge = acme.challenge(&device).await;
    let body = json!({"signature": phone.sign(&challenge.text)});
    let key = first_key(&acme, &device).await;
    for _ in 0..2 {
        let answer = answer_in_full(&acme, &challenge.id, body.clone()).await;
        answer.assert_status(200);
        assert_eq!(answer.headers["preference-applied"], "return=representation");
        let expected = json!({
            "id": challenge.id,
            "decision": "approved",
            "device_id": device,
            "key_id": key["key_id"],
            "key_purpose": "unrestricted",
            "person_id": "ada",
            "verified_at": "2022-03-18T14:50:04Z",
        });
        assert_eq!(answer.json(), expected);
    }
}

async fn three_wrong_signatures_close_a_challenge_and_no_other(app: TestApp) {
    let acme = app.partner();
    let phone = Phone::new(1);
    let device = bound(&acme, "ada", &phone).await;
    let (first, second) = (acme.challenge(&device).await, acme.challenge(&device).await);
    for _ in 0..3 {
        assert_wrong(&acme.sign(&first.id, &phone.sign("something else")).await);
    }
    assert_not_open(&acme.sign(&first.id, &phone.sign(&first.text)).await, &first.id);
    assert_not_open(&acme.get(&path(&first.id)).await, &first.id);
    // A signature for one challenge does not answer another one.
    assert_wrong(&acme.sign(&second.id, &phone.sign(&first.text)).await);
    acme.sign(&second.id, &phone.sign(&second.text)).await.assert_status(204);
}

async fn five_wrong_signatures_pause_the_device_and_no_other(app: TestApp) {
    let acme = app.partner();
    let (phone, other_phone) = (Phone::new(1), Phone::new(2));
    let device = bound(&acme, "ada", &phone).await;
    let other = acme.bind("ada", &other_phone).await.id;
    let (first, second) = (acme.challenge(&device).await, acme.challenge(&device).await);
    let on_other = acme.challenge(&other).await;
    for challenge in [&first, &first, &second, &second, &first] {
        assert_wrong(&acme.sign(&challenge.id, &phone.sign("something else")).await);
    }
    let detail = "too many failed attempts; wait and start again";
    let paused = acme.sign(&second.id, &phone.sign(&second.text)).await;
    paused.assert_error(429, "too_many_requests", detail);
    assert_eq!(paused.headers["retry-after"], "1800");
    let refused = acme.post(DEVICE_CHALLENGES, json!({"device_id": device})).await;
    refused.assert_error(429, "too_many_requests", detail);
    // The person's other device is not paused, nor is the person.
    acme.sign(&on_other.id, &other_phone.sign(&on_other.text)).await.assert_status(204);
    acme.ask_for_device("ada", &Phone::new(3)).await;

    app.advance(TimeDelta::minutes(30));
    let afterwards = acme.challenge(&device).await;
    acme.sign(&afterwards.id, &phone.sign(&afterwards.text)).await.assert_status(204);
    // A success resets the count.
    for wrong in [1, 2] {
        let challenge = acme.challenge(&device).await;
        for _ in 0..2 {
            assert_wrong(&acme.sign(&challenge.id, &phone.sign("something else")).await);
        }
        assert_eq!(acme.sign(&challenge.id, &phone.sign(&challenge.text)).await.status, 204, "round {wrong}");
    }
}

async fn a_malformed_answer_costs_no_attempt(app: TestApp) {
    let acme = app.partner();
    let phone = Phone::new(1);
    let device = bound(&acme, "ada", &phone).await;
    let challenge = acme.challenge(&device).await;
    for _ in 0..6 {
        acme.sign(&challenge.id, "30").await.assert_status(400);
        let body = json!({"signature": phone.sign(&challenge.text), "decision": "maybe"});
        acme.put(&path(&challenge.id), body).await.assert_status(400);
    }
    acme.sign(&challenge.id, &phone.sign(&challenge.text)).await.assert_status(204);
}
