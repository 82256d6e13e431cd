//! Requesting and reading a challenge.

use chrono::TimeDelta;
use serde_json::json;

use super::{assert_not_open, path};
use crate::harness::{NUMBER, Network, Phone, SMS_CHALLENGES, TestApp, on_both_databases};

on_both_databases![
    a_challenge_is_created_and_read_until_it_expires,
    the_sms_says_that_the_code_logs_the_person_in_in_the_requested_language,
    the_app_signature_is_the_last_line,
    a_newer_challenge_supersedes_the_older_one_and_nothing_else,
    a_person_without_a_verified_number_is_refused,
    malformed_fields_are_refused_and_nothing_is_sent,
    a_challenge_whose_sms_failed_is_closed,
    an_sms_with_an_uncertain_outcome_counts_as_sent,
];

async fn a_challenge_is_created_and_read_until_it_expires(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let answer = acme.post(SMS_CHALLENGES, json!({"person_id": "ada"})).await;
    let created = answer.assert_status(201).json();
    let id = created["id"].as_str().unwrap();
    let expected = json!({
        "id": id,
        "type": "sms",
        "created_at": "2022-03-18T14:50:04Z",
        "expires_at": "2022-03-18T14:55:04Z",
    });
    assert_eq!(created, expected);
    assert_eq!(app.outbox().last().to, NUMBER);
    for spelling in [id.to_owned(), id.replace('-', ""), id.to_uppercase()] {
        assert_eq!(acme.get(&path(&spelling)).await.assert_status(200).json(), expected);
    }
    app.advance(TimeDelta::minutes(5) - TimeDelta::microseconds(1));
    assert_eq!(acme.get(&path(id)).await.assert_status(200).json(), expected);
    app.advance(TimeDelta::microseconds(1));
    assert_not_open(&acme.get(&path(id)).await, id);
    assert_not_open(&acme.get(&path("x")).await, "x");
}

async fn the_sms_says_that_the_code_logs_the_person_in_in_the_requested_language(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    for (language, expected) in [
        (json!(null), "Device Management: Code ###### meldet Sie an. Nie weitergeben, auch nicht an uns."),
        (json!("de"), "Device Management: Code ###### meldet Sie an. Nie weitergeben, auch nicht an uns."),
        (json!("en"), "Device Management: Your code ###### logs you in. Never share it, not even with us."),
        (json!("fr"), "Device Management: Le code ###### vous connecte. Ne le donnez à personne, nous compris."),
    ] {
        acme.post(SMS_CHALLENGES, json!({"person_id": "ada", "language": language})).await.assert_status(201);
        let message = app.outbox().last();
        assert_eq!(message.text.replacen(&message.code(), "######", 1), expected);
    }
}

async fn the_app_signature_is_the_last_line(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let wish = json!({"person_id": "ada", "sms_challenge": {"app_signature": "FA+9qCX9/Su"}});
    acme.post(SMS_CHALLENGES, wish).await.assert_status(201);
    let text = app.outbox().last().text;
    assert_eq!(text.rsplit('\n').next(), Some("FA+9qCX9/Su"));
    assert!(text.len() <= 140, "{text:?}");
}

async fn a_newer_challenge_supersedes_the_older_one_and_nothing_else(app: TestApp) {
    let acme = app.partner();
    let phone = Phone::new(1);
    for person in ["ada", "bob"] {
        acme.verified_person(person).await;
    }
    let binding = acme.ask_for_device("ada", &phone).await;
    let signature = phone.sign(&app.outbox().last().code());
    acme.post("/v1/persons/ada/mobile_number/authorize", json!({"number": NUMBER})).await.assert_status(201);
    let token = app.outbox().last().code();
    let of_bob = acme.sms_challenge("bob").await;
    let older = acme.sms_challenge("ada").await;
    let newer = acme.sms_challenge("ada").await;
    assert_not_open(&acme.get(&path(&older.id)).await, &older.id);
    assert_not_open(&acme.type_code(&older.id, &older.code).await, &older.id);
    acme.type_code(&newer.id, &newer.code).await.assert_status(204);
    acme.type_code(&of_bob.id, &of_bob.code).await.assert_status(204);
    let confirmed = json!({"number": NUMBER, "token": token});
    acme.post("/v1/persons/ada/mobile_number/confirm", confirmed).await.assert_status(201);
    acme.answer(&binding.id, &signature).await.assert_status(204);
}

async fn a_person_without_a_verified_number_is_refused(app: TestApp) {
    let acme = app.partner();
    acme.post("/v1/persons/bob/mobile_number", json!({"number": NUMBER})).await.assert_status(201);
    for person in ["ada", "bob"] {
        let answer = acme.post(SMS_CHALLENGES, json!({"person_id": person})).await;
        answer.assert_faults(&[("number", "telephone number not found")]);
    }
    assert!(app.outbox().messages().is_empty());
}

async fn malformed_fields_are_refused_and_nothing_is_sent(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    acme.post(SMS_CHALLENGES, json!({})).await.assert_faults(&[("person_id", "is required")]);
    let wrong = json!({
        "person_id": "a b",
        "language": "DE",
        "sms_challenge": {"app_signature": "e2e"},
        "device_data": "",
    });
    acme.post(SMS_CHALLENGES, wrong).await.assert_faults(&[
        ("person_id", "must be visible ASCII characters"),
        ("language", "must be one of: de, en, fr"),
        ("sms_challenge.app_signature", "must be 11 characters of A-Z a-z 0-9 + / -"),
        ("device_data", "length (0) out of bounds (min: 1, max: 262144)"),
    ]);
    assert!(app.outbox().messages().is_empty());
}

async fn a_challenge_whose_sms_failed_is_closed(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let earlier = acme.sms_challenge("ada").await;
    for network in [Network::IsDown, Network::Rejects] {
        app.network(network);
        let detail = "the SMS could not be sent and the request had no effect; please retry";
        let answer = acme.post(SMS_CHALLENGES, json!({"person_id": "ada"})).await;
        answer.assert_error(502, "bad_gateway", detail);
    }
    // The earlier challenge stays closed: the new one may have been requested because its code was seen.
    assert_not_open(&acme.type_code(&earlier.id, &earlier.code).await, &earlier.id);
    app.network(Network::Works);
    let challenge = acme.sms_challenge("ada").await;
    acme.type_code(&challenge.id, &challenge.code).await.assert_status(204);
}

async fn an_sms_with_an_uncertain_outcome_counts_as_sent(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    app.network(Network::LosesItsAnswer);
    let challenge = acme.sms_challenge("ada").await;
    acme.type_code(&challenge.id, &challenge.code).await.assert_status(204);
}
