//! Answering a challenge.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{assert_not_open, assert_wrong, path};
use crate::harness::{Phone, TestApp, on_both_databases};

on_both_databases![
    a_right_code_is_accepted_once,
    the_code_is_taken_under_each_of_its_names,
    a_malformed_answer_costs_no_attempt,
    an_answer_with_two_codes_costs_no_attempt,
    three_wrong_codes_close_the_challenge_and_no_other,
    the_code_of_another_challenge_is_wrong,
    an_expired_challenge_is_not_found_before_its_body_is_judged,
    deleting_the_number_closes_the_challenge,
];

const NAMES: [&str; 4] = ["code", "otp", "tan", "token"];

async fn a_right_code_is_accepted_once(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let challenge = acme.sms_challenge("ada").await;
    let answer = acme.type_code(&challenge.id, &challenge.code).await;
    answer.assert_status(204);
    assert!(answer.body.is_empty());
    assert_not_open(&acme.get(&path(&challenge.id)).await, &challenge.id);
    assert_not_open(&acme.type_code(&challenge.id, &challenge.code).await, &challenge.id);
}

async fn the_code_is_taken_under_each_of_its_names(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    for name in NAMES {
        let challenge = acme.sms_challenge("ada").await;
        assert_wrong(&acme.put(&path(&challenge.id), json!({name: challenge.wrong_code()})).await);
        let mut body = json!({"code": null, "otp": null, "tan": null, "token": null, "other": 1});
        body[name] = json!(challenge.code);
        acme.put(&path(&challenge.id), body).await.assert_status(204);
    }
}

async fn a_malformed_answer_costs_no_attempt(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let challenge = acme.sms_challenge("ada").await;
    let code = &challenge.code;
    let (digits, white_space) = ("must be six digits", "must not begin or end with white space");
    for name in NAMES {
        for (value, complaint) in [
            (json!(""), digits),
            (json!("12345"), digits),
            (json!("1234567"), digits),
            (json!("12345a"), digits),
            (json!("+12345"), digits),
            (json!("123 456"), digits),
            (json!("１２３４５６"), digits),
            (json!("١٢٣٤٥٦"), digits),
            (json!(format!(" {code}")), white_space),
            (json!(format!("{code}\n")), white_space),
            (json!(format!("{code}\u{3000}")), white_space),
            (json!(123_456), "must be a string, not a number"),
            (json!([code]), "must be a string, not an array"),
        ] {
            let answer = acme.put(&path(&challenge.id), json!({name: value})).await;
            answer.assert_faults(&[(name, complaint)]);
        }
    }
    for body in [json!({}), json!({"code": null}), json!({"Code": code})] {
        acme.put(&path(&challenge.id), body).await.assert_faults(&[("code", "is required")]);
    }
    acme.type_code(&challenge.id, code).await.assert_status(204);
}

async fn an_answer_with_two_codes_costs_no_attempt(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let challenge = acme.sms_challenge("ada").await;
    let code = &challenge.code;
    let complaint = "must be absent: another field has the code";
    let two: [(Value, &[(&str, &str)]); 4] = [
        (json!({"code": code, "token": code}), &[("token", complaint)]),
        (json!({"token": challenge.wrong_code(), "otp": code}), &[("token", complaint)]),
        (json!({"otp": code, "tan": 1, "token": code}), &[("tan", complaint), ("token", complaint)]),
        (json!({"code": "x", "otp": code}), &[("code", "must be six digits"), ("otp", complaint)]),
    ];
    for (body, faults) in two {
        acme.put(&path(&challenge.id), body).await.assert_faults(faults);
    }
    acme.type_code(&challenge.id, code).await.assert_status(204);
}

async fn three_wrong_codes_close_the_challenge_and_no_other(app: TestApp) {
    let acme = app.partner();
    let phone = Phone::new(1);
    acme.verified_person("ada").await;
    let binding = acme.ask_for_device("ada", &phone).await;
    let signature = phone.sign(&app.outbox().last().code());
    let challenge = acme.sms_challenge("ada").await;
    for _ in 0..3 {
        assert_wrong(&acme.type_code(&challenge.id, &challenge.wrong_code()).await);
    }
    assert_not_open(&acme.get(&path(&challenge.id)).await, &challenge.id);
    assert_not_open(&acme.type_code(&challenge.id, &challenge.code).await, &challenge.id);
    acme.answer(&binding.id, &signature).await.assert_status(204);
    let challenge = acme.sms_challenge("ada").await;
    acme.type_code(&challenge.id, &challenge.code).await.assert_status(204);
}

async fn the_code_of_another_challenge_is_wrong(app: TestApp) {
    let acme = app.partner();
    for person in ["ada", "bob"] {
        acme.verified_person(person).await;
    }
    acme.ask_for_device("ada", &Phone::new(1)).await;
    let of_binding = app.outbox().last().code();
    let (of_bob, challenge) = (acme.sms_challenge("bob").await, acme.sms_challenge("ada").await);
    assert_wrong(&acme.type_code(&challenge.id, &of_binding).await);
    assert_wrong(&acme.type_code(&challenge.id, &of_bob.code).await);
    acme.type_code(&challenge.id, &challenge.code).await.assert_status(204);
}

async fn an_expired_challenge_is_not_found_before_its_body_is_judged(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let challenge = acme.sms_challenge("ada").await;
    app.advance(TimeDelta::minutes(5));
    assert_not_open(&acme.type_code(&challenge.id, &challenge.code).await, &challenge.id);
    assert_not_open(&acme.put(&path(&challenge.id), json!({})).await, &challenge.id);
}

async fn deleting_the_number_closes_the_challenge(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let challenge = acme.sms_challenge("ada").await;
    acme.delete("/v1/persons/ada/mobile_number").await.assert_status(200);
    assert_not_open(&acme.get(&path(&challenge.id)).await, &challenge.id);
    // The same number, verified again, does not open it again.
    acme.verified_person("ada").await;
    assert_not_open(&acme.type_code(&challenge.id, &challenge.code).await, &challenge.id);
}
