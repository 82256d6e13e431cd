//! Answering a challenge: right and wrong signatures, malformed answers, and which of them count as failures.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{assert_not_open, assert_wrong, bound_devices, challenge_path};
use crate::harness::{Phone, TestApp, on_both_databases};

on_both_databases![
    a_right_signature_binds_the_device,
    a_signature_by_another_key_or_over_another_code_is_wrong,
    a_fourth_wrong_signature_gets_404,
    a_new_challenge_allows_three_attempts_again,
    each_malformed_answer_gets_400_and_counts_no_failure,
    all_faults_of_an_answer_are_reported_together,
    a_malformed_answer_to_a_challenge_that_is_not_open_gets_404,
    an_answer_may_contain_any_device_data,
    the_hexadecimal_signature_may_be_in_either_case,
];

async fn a_right_signature_binds_the_device(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let phone = Phone::new(1);
    let asked = acme.ask_for_device("ada", &phone).await;
    app.advance(TimeDelta::minutes(1));
    let code = app.outbox().last().code();
    acme.answer(&asked.id, &phone.sign(&code)).await.assert_status(204);

    let device = acme.get(&format!("/v1/mfa/devices/{}", asked.id)).await;
    device.assert_status(200);
    let expected = json!({"id": asked.id, "person_id": "ada", "created_at": "2022-03-18T14:50:04Z"});
    assert_eq!(device.json(), expected);
    let key = acme.get(&format!("/v1/mfa/devices/{}/keys/{}", asked.id, asked.key_id)).await;
    key.assert_status(200);
    let expected = json!({
        "key_id": asked.key_id,
        "key_type": "ecdsa-p256",
        "key_purpose": "unrestricted",
        "used_at": "2022-03-18T14:51:04Z",
    });
    assert_eq!(key.json(), expected);
    assert_not_open(&acme.get(&challenge_path(&asked.id)).await, &asked.id);
}

async fn a_signature_by_another_key_or_over_another_code_is_wrong(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    acme.verified_person("bob").await;
    let (phone, other) = (Phone::new(1), Phone::new(2));
    acme.ask_for_device("bob", &other).await;
    let others_code = app.outbox().last().code();
    let asked = acme.ask_for_device("ada", &phone).await;
    let code = app.outbox().last().code();
    assert_ne!(code, others_code);
    for signature in [other.sign(&code), phone.sign(&others_code), phone.sign(&format!("{code}\n"))] {
        assert_wrong(&acme.answer(&asked.id, &signature).await);
    }
    assert_eq!(bound_devices(&acme, "ada").await, [""; 0]);
}

async fn a_fourth_wrong_signature_gets_404(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let phone = Phone::new(1);
    let asked = acme.ask_for_device("ada", &phone).await;
    let code = app.outbox().last().code();
    for _ in 0..3 {
        acme.get(&challenge_path(&asked.id)).await.assert_status(200);
        assert_wrong(&acme.answer(&asked.id, &phone.sign("wrong")).await);
    }
    assert_not_open(&acme.get(&challenge_path(&asked.id)).await, &asked.id);
    assert_not_open(&acme.answer(&asked.id, &phone.sign("wrong")).await, &asked.id);
    assert_not_open(&acme.answer(&asked.id, &phone.sign(&code)).await, &asked.id);
}

async fn a_new_challenge_allows_three_attempts_again(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let phone = Phone::new(1);
    // Four failures: more than one challenge allows, fewer than the person's failure budget.
    let first = acme.ask_for_device("ada", &phone).await;
    for _ in 0..2 {
        assert_wrong(&acme.answer(&first.id, &phone.sign("wrong")).await);
    }
    let second = acme.ask_for_device("ada", &phone).await;
    for _ in 0..2 {
        assert_wrong(&acme.answer(&second.id, &phone.sign("wrong")).await);
    }
    let code = app.outbox().last().code();
    acme.answer(&second.id, &phone.sign(&code)).await.assert_status(204);
}

async fn each_malformed_answer_gets_400_and_counts_no_failure(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let phone = Phone::new(1);
    let asked = acme.ask_for_device("ada", &phone).await;
    let code = app.outbox().last().code();
    for (field, value, message) in malformed(&phone.sign(&code)) {
        let mut body = json!({"signature": phone.sign(&code)});
        body[field] = value.clone();
        let answer = acme.put(&challenge_path(&asked.id), body).await;
        assert_eq!(answer.status, 400, "{field}: {value}");
        answer.assert_fault_or_form(field, message);
    }
    acme.answer(&asked.id, &phone.sign(&code)).await.assert_status(204);
}

/// A field of the answer, an invalid value, and the error message.
fn malformed(signature: &str) -> Vec<(&'static str, Value, &'static str)> {
    const HEX: &str = "must be hexadecimal: two digits for each byte, and nothing else";
    const DER: &str =
        "must be a DER encoded ECDSA P-256 signature: SEQUENCE { r INTEGER, s INTEGER }, not the raw bytes of r and s";
    const RANGE: &str = "must have r and s between 1 and n-1, where n is the order of P-256";
    const N: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    vec![
        ("signature", Value::Null, "is required"),
        ("signature", json!(""), "length (0) out of bounds (min: 1, max: 2048)"),
        ("signature", json!("30".repeat(1025)), "length (2050) out of bounds (min: 1, max: 2048)"),
        ("signature", json!("30".repeat(1024)), DER),
        ("signature", json!("301"), HEX),
        ("signature", json!("zz"), HEX),
        ("signature", json!(format!("{signature} ")), "must not begin or end with white space"),
        // Raw r and s; trailing bytes; a length in the long form (BER); a redundant zero before r; a negative r.
        ("signature", json!("11".repeat(64)), DER),
        ("signature", json!(format!("{signature}00")), DER),
        ("signature", json!(format!("3081{}", &signature[2..])), DER),
        ("signature", json!("300702020001020101"), DER),
        ("signature", json!("3006020180020101"), DER),
        ("signature", json!("3006020100020101"), RANGE),
        ("signature", json!("3006020101020100"), RANGE),
        ("signature", json!(format!("3026022100{N}020101")), RANGE),
        ("signature", json!(format!("3026020101022100{N}")), RANGE),
        ("signature", json!(3045), "must be a string, not a number"),
        ("device_data", json!(""), "length (0) out of bounds (min: 1, max: 262144)"),
        ("device_data", json!("d".repeat(256 * 1024 + 1)), "length (262145) out of bounds (min: 1, max: 262144)"),
        ("device_data", json!([]), "must be a string, not an array"),
    ]
}

async fn all_faults_of_an_answer_are_reported_together(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let asked = acme.ask_for_device("ada", &Phone::new(1)).await;
    let answer = acme.put(&challenge_path(&asked.id), json!({"device_data": "", "signature": ""})).await;
    answer.assert_faults(&[
        ("signature", "length (0) out of bounds (min: 1, max: 2048)"),
        ("device_data", "length (0) out of bounds (min: 1, max: 262144)"),
    ]);
    let answer = acme.put(&challenge_path(&asked.id), json!([])).await;
    answer.assert_error(400, "invalid_json", "the body must be a JSON object");
}

async fn a_malformed_answer_to_a_challenge_that_is_not_open_gets_404(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let phone = Phone::new(1);
    let answered = acme.bind("ada", &phone).await;
    let expired = acme.ask_for_device("ada", &Phone::new(2)).await;
    app.advance(TimeDelta::minutes(5));
    for id in ["6642d15e-8f6b-4d28-9186-cdd61d80032a", &answered.id, &expired.id] {
        assert_not_open(&acme.answer(id, "malformed").await, id);
        assert_not_open(&acme.put(&challenge_path(id), json!([])).await, id);
    }
}

async fn an_answer_may_contain_any_device_data(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let phone = Phone::new(1);
    let asked = acme.ask_for_device("ada", &phone).await;
    let signature = phone.sign(&app.outbox().last().code());
    let body = json!({"signature": signature, "device_data": "  any string of the client's\n", "colour": "red"});
    acme.put(&challenge_path(&asked.id), body).await.assert_status(204);
}

async fn the_hexadecimal_signature_may_be_in_either_case(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let phone = Phone::new(1);
    let asked = acme.ask_for_device("ada", &phone).await;
    let signature = phone.sign(&app.outbox().last().code()).to_uppercase();
    acme.answer(&asked.id, &signature).await.assert_status(204);
}
