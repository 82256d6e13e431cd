//! Confirming a number: sending a code, and verifying it.

use chrono::TimeDelta;
use serde_json::json;

use super::{NOT_FOUND, OTHER_NUMBER, give_number, is_verified, path};
use crate::harness::{Answer, NUMBER, Network, Phone, TestApp, TestClient, on_both_databases};

on_both_databases![
    the_code_that_was_sent_verifies_the_number,
    the_sms_has_the_requested_language,
    three_wrong_codes_end_the_challenge_and_a_new_code_works,
    a_malformed_code_counts_no_failure,
    a_code_lives_for_five_minutes,
    only_the_newest_code_works,
    a_code_works_once,
    another_number_than_the_persons_is_not_found,
    every_code_is_wrong_if_none_was_sent,
    a_failed_sms_leaves_no_code_open,
    an_sms_with_an_uncertain_outcome_counts_as_sent,
];

const WRONG: &str = "the code is wrong or expired";

async fn the_code_that_was_sent_verifies_the_number(app: TestApp) {
    let acme = app.partner();
    give_number(&acme, "ada").await;
    let before = acme.get(&path("ada")).await.json();
    let bind = json!({"person_id": "ada", "key_type": "ecdsa-p256", "key": Phone::new(1).key()});
    let unverified = [("number", "telephone number not found")];
    acme.post("/v1/mfa/devices", bind.clone()).await.assert_faults(&unverified);

    // Another spelling of the same number.
    let sent = acme.post(&authorize("ada"), json!({"number": "+49 (151) 1234-5678"})).await;
    assert_eq!(sent.assert_status(201).json(), before);
    assert_eq!(app.outbox().last().to, NUMBER);
    assert!(!is_verified(&acme, "ada").await);
    acme.post("/v1/mfa/devices", bind.clone()).await.assert_faults(&unverified);

    let confirmed = confirm(&acme, "ada", "+49 151 12345678", &app.outbox().last().code()).await;
    confirmed.assert_status(201);
    assert_eq!(confirmed.json(), json!({"id": before["id"], "number": NUMBER, "verified": true}));
    assert_eq!(acme.get(&path("ada")).await.json(), confirmed.json());
    acme.post("/v1/mfa/devices", bind).await.assert_status(202);
}

async fn the_sms_has_the_requested_language(app: TestApp) {
    let acme = app.partner();
    give_number(&acme, "ada").await;
    let mut texts = Vec::new();
    for language in [json!(null), json!("de"), json!("en"), json!("fr")] {
        acme.post(&authorize("ada"), json!({"number": NUMBER, "language": language})).await.assert_status(201);
        let message = app.outbox().last();
        texts.push(message.text.replace(&message.code(), "......"));
    }
    assert_eq!(texts[0], texts[1], "German is the default");
    assert!(texts[1] != texts[2] && texts[2] != texts[3] && texts[1] != texts[3], "{texts:?}");

    for language in ["DE", "it", "de-DE", ""] {
        let answer = acme.post(&authorize("ada"), json!({"number": NUMBER, "language": language})).await;
        answer.assert_faults(&[("language", "must be one of: de, en, fr")]);
    }
    assert_eq!(app.outbox().messages().len(), 4);
}

async fn three_wrong_codes_end_the_challenge_and_a_new_code_works(app: TestApp) {
    let acme = app.partner();
    let code = number_with_code(&app, &acme).await;
    for _ in 0..3 {
        confirm(&acme, "ada", NUMBER, &other_than(&code)).await.assert_wrong(WRONG);
    }
    confirm(&acme, "ada", NUMBER, &code).await.assert_wrong(WRONG);
    assert!(!is_verified(&acme, "ada").await);

    let code = send_code(&app, &acme).await;
    confirm(&acme, "ada", NUMBER, &other_than(&code)).await.assert_status(403);
    confirm(&acme, "ada", NUMBER, &code).await.assert_status(201);
}

async fn a_malformed_code_counts_no_failure(app: TestApp) {
    let acme = app.partner();
    let code = number_with_code(&app, &acme).await;
    let white_space = "must not begin or end with white space";
    for (token, complaint) in [
        (json!(null), "is required"),
        (json!(""), "must be six digits"),
        (json!("12345"), "must be six digits"),
        (json!("1234567"), "must be six digits"),
        (json!("12345a"), "must be six digits"),
        (json!("-12345"), "must be six digits"),
        (json!("１２３４５６"), "must be six digits"),
        (json!(format!(" {code}")), white_space),
        (json!(format!("{code}\n")), white_space),
        (json!(123_456), "must be a string, not a number"),
    ] {
        let answer = acme.post(&format!("{}/confirm", path("ada")), json!({"number": NUMBER, "token": token})).await;
        answer.assert_faults(&[("token", complaint)]);
    }
    let nothing = acme.post(&format!("{}/confirm", path("ada")), json!({})).await;
    nothing.assert_faults(&[("number", "is required"), ("token", "is required")]);
    confirm(&acme, "ada", NUMBER, &code).await.assert_status(201);
}

async fn a_code_lives_for_five_minutes(app: TestApp) {
    let acme = app.partner();
    let code = number_with_code(&app, &acme).await;
    app.advance(TimeDelta::minutes(5));
    confirm(&acme, "ada", NUMBER, &code).await.assert_wrong(WRONG);

    let code = send_code(&app, &acme).await;
    app.advance(TimeDelta::minutes(5) - TimeDelta::microseconds(1));
    confirm(&acme, "ada", NUMBER, &code).await.assert_status(201);
}

async fn only_the_newest_code_works(app: TestApp) {
    let acme = app.partner();
    let first = number_with_code(&app, &acme).await;
    let second = send_code(&app, &acme).await;
    assert_ne!(first, second);
    confirm(&acme, "ada", NUMBER, &first).await.assert_wrong(WRONG);
    confirm(&acme, "ada", NUMBER, &second).await.assert_status(201);
}

async fn a_code_works_once(app: TestApp) {
    let acme = app.partner();
    let code = number_with_code(&app, &acme).await;
    confirm(&acme, "ada", NUMBER, &code).await.assert_status(201);
    confirm(&acme, "ada", NUMBER, &code).await.assert_wrong(WRONG);
    assert!(is_verified(&acme, "ada").await, "a verified number stays verified");
    // Another request for a code does not change that.
    send_code(&app, &acme).await;
    assert!(is_verified(&acme, "ada").await);
}

async fn another_number_than_the_persons_is_not_found(app: TestApp) {
    let acme = app.partner();
    let code = number_with_code(&app, &acme).await;
    acme.post(&authorize("ada"), json!({"number": OTHER_NUMBER})).await.assert_error(404, "model_not_found", NOT_FOUND);
    assert_eq!(app.outbox().messages().len(), 1, "no SMS was sent to the other number");
    for _ in 0..3 {
        confirm(&acme, "ada", OTHER_NUMBER, &code).await.assert_error(404, "model_not_found", NOT_FOUND);
    }
    confirm(&acme, "ada", NUMBER, &code).await.assert_status(201);
}

async fn every_code_is_wrong_if_none_was_sent(app: TestApp) {
    let acme = app.partner();
    give_number(&acme, "ada").await;
    confirm(&acme, "ada", NUMBER, "000000").await.assert_wrong(WRONG);
    // The code of another person with the same number is wrong.
    give_number(&acme, "bob").await;
    acme.post(&authorize("bob"), json!({"number": NUMBER})).await.assert_status(201);
    confirm(&acme, "ada", NUMBER, &app.outbox().last().code()).await.assert_wrong(WRONG);
    confirm(&acme, "bob", NUMBER, &app.outbox().last().code()).await.assert_status(201);
    assert!(!is_verified(&acme, "ada").await);
}

async fn a_failed_sms_leaves_no_code_open(app: TestApp) {
    let acme = app.partner();
    let earlier = number_with_code(&app, &acme).await;
    for network in [Network::IsDown, Network::Rejects] {
        app.network(network);
        let detail = "the SMS could not be sent and the request had no effect; please retry";
        acme.post(&authorize("ada"), json!({"number": NUMBER})).await.assert_error(502, "bad_gateway", detail);
    }
    // The earlier code stays closed: the new one may have been requested because the earlier one was compromised.
    confirm(&acme, "ada", NUMBER, &earlier).await.assert_wrong(WRONG);

    app.network(Network::Works);
    let code = send_code(&app, &acme).await;
    confirm(&acme, "ada", NUMBER, &code).await.assert_status(201);
}

async fn an_sms_with_an_uncertain_outcome_counts_as_sent(app: TestApp) {
    let acme = app.partner();
    give_number(&acme, "ada").await;
    app.network(Network::LosesItsAnswer);
    let code = send_code(&app, &acme).await;
    confirm(&acme, "ada", NUMBER, &code).await.assert_status(201);
}

fn authorize(person: &str) -> String {
    format!("{}/authorize", path(person))
}

/// Gives Ada an unverified number and sends a code to it.
async fn number_with_code(app: &TestApp, client: &TestClient) -> String {
    give_number(client, "ada").await;
    send_code(app, client).await
}

async fn send_code(app: &TestApp, client: &TestClient) -> String {
    client.post(&authorize("ada"), json!({"number": NUMBER})).await.assert_status(201);
    app.outbox().last().code()
}

async fn confirm(client: &TestClient, person: &str, number: &str, token: &str) -> Answer {
    client.post(&format!("{}/confirm", path(person)), json!({"number": number, "token": token})).await
}

/// Six digits that differ from the code.
fn other_than(code: &str) -> String {
    let number: u32 = code.parse().unwrap();
    format!("{:06}", (number + 1) % 1_000_000)
}
