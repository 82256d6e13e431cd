//! Malformed requests for a device: every rule of every field, and several faults in one answer.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use super::{DEVICES, request_body, with};
use crate::harness::{Phone, TestApp, on_both_databases};

on_both_databases![
    each_rule_of_each_field_is_enforced,
    all_faults_are_reported_together_in_the_order_of_the_fields,
    a_wrong_type_and_a_wrong_value_have_different_codes,
    a_body_that_is_not_an_object_is_a_single_fault,
    a_malformed_body_is_refused_before_any_other_check,
];

const HEX: &str = "must contain nothing but hexadecimal digits";
const LENGTH: &str =
    "must be 130 hexadecimal characters: an uncompressed SEC 1 point, 04 followed by X and Y of 32 bytes each";
const PREFIX: &str =
    "must start with 04: the point has to be uncompressed, neither compressed (02, 03) nor hybrid (06, 07)";
const POINT: &str = "must be a point on the curve P-256: X and Y big-endian and taken from one ecdsa-p256 key";
const BLANK_ENDS: &str = "must not begin or end with white space";

async fn each_rule_of_each_field_is_enforced(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    for (field, value, message) in [persons(), keys(), choices(), texts()].into_iter().flatten() {
        let body = with(request_body("ada", &Phone::new(1)), path(field, value.clone()));
        let answer = acme.post(DEVICES, body).await;
        assert_eq!(answer.status, 400, "{field}: {value}");
        answer.assert_fault_or_form(field, message);
    }
    assert_eq!(app.outbox().messages().len(), 0);
}

/// A field, an invalid value, and the error message.
type Case = (&'static str, Value, &'static str);

fn persons() -> Vec<Case> {
    let bounds = "length (0) out of bounds (min: 1, max: 64)";
    vec![
        ("person_id", Value::Null, "is required"),
        ("person_id", json!(""), bounds),
        ("person_id", json!("p".repeat(65)), "length (65) out of bounds (min: 1, max: 64)"),
        ("person_id", json!("a b"), "must be visible ASCII characters"),
        ("person_id", json!("ä"), "must be visible ASCII characters"),
        ("person_id", json!("a\u{0}"), "must be visible ASCII characters"),
        ("person_id", json!("ada "), BLANK_ENDS),
        ("person_id", json!(7), "must be a string, not a number"),
    ]
}

fn keys() -> Vec<Case> {
    let key = Phone::new(1).key();
    let (x, y) = (&key[2..66], &key[66..]);
    // A point one bit off the curve; the coordinate x = p, which is not a field element; the point (0, 0).
    let off_curve = format!("{}{}", &key[..129], if key.ends_with('0') { '1' } else { '0' });
    let x_is_p = format!("04ffffffff00000001000000000000000000000000ffffffffffffffffffffffff{y}");
    vec![
        ("key", Value::Null, "is required"),
        ("key", json!(""), LENGTH),
        ("key", json!(&key[..128]), LENGTH),
        ("key", json!(format!("{key}00")), LENGTH),
        ("key", json!("00"), LENGTH),
        ("key", json!(format!("02{x}")), LENGTH),
        ("key", json!(format!("{}g", &key[..129])), HEX),
        ("key", json!(format!("0x{}", &key[..128])), HEX),
        ("key", json!("é".repeat(130)), HEX),
        ("key", json!(format!("02{x}{y}")), PREFIX),
        ("key", json!(format!("06{x}{y}")), PREFIX),
        ("key", json!(format!("00{x}{y}")), PREFIX),
        ("key", json!(off_curve), POINT),
        ("key", json!(format!("04{y}{x}")), POINT),
        ("key", json!(x_is_p), POINT),
        ("key", json!(format!("04{}", "f".repeat(128))), POINT),
        ("key", json!(format!("04{}", "0".repeat(128))), POINT),
        ("key", json!(format!(" {key}")), BLANK_ENDS),
        ("key", json!({}), "must be a string, not an object"),
    ]
}

fn choices() -> Vec<Case> {
    vec![
        ("key_type", Value::Null, "is required"),
        ("key_type", json!(""), "must be one of: ecdsa-p256"),
        ("key_type", json!("ECDSA-P256"), "must be one of: ecdsa-p256"),
        ("key_type", json!("rsa"), "must be one of: ecdsa-p256"),
        ("key_type", json!("ecdsa-p256\n"), BLANK_ENDS),
        ("key_type", json!(true), "must be a string, not a boolean"),
        ("challenge_type", json!("string"), "must be one of: sms, activation_code"),
        ("challenge_type", json!("SMS"), "must be one of: sms, activation_code"),
        ("challenge_type", json!(""), "must be one of: sms, activation_code"),
        ("challenge_type", json!([]), "must be a string, not an array"),
        ("key_purpose", json!("Restricted"), "must be one of: unrestricted, restricted"),
        ("key_purpose", json!(""), "must be one of: unrestricted, restricted"),
        ("key_purpose", json!(0), "must be a string, not a number"),
        ("language", json!("DE"), "must be one of: de, en, fr"),
        ("language", json!("it"), "must be one of: de, en, fr"),
        ("language", json!("de-DE"), "must be one of: de, en, fr"),
        ("language", json!(1), "must be a string, not a number"),
    ]
}

fn texts() -> Vec<Case> {
    const APP_HASH: &str = "must be 11 characters of A-Z a-z 0-9 + / -";
    const APP_SIGNATURE: &str = "sms_challenge.app_signature";
    vec![
        ("name", json!(""), "length (0) out of bounds (min: 1, max: 255)"),
        ("name", json!("é".repeat(256)), "length (256) out of bounds (min: 1, max: 255)"),
        ("name", json!("a\u{0}b"), "must not contain control characters"),
        ("name", json!("a\nb"), "must not contain control characters"),
        ("name", json!(" "), BLANK_ENDS),
        ("name", json!(false), "must be a string, not a boolean"),
        ("sms_challenge", json!("e2e-e2e-e2e"), "must be an object, not a string"),
        (APP_SIGNATURE, json!(""), APP_HASH),
        (APP_SIGNATURE, json!("e2e-e2e-e2"), APP_HASH),
        (APP_SIGNATURE, json!("e2e-e2e-e2e2"), APP_HASH),
        (APP_SIGNATURE, json!("e2e_e2e_e2e"), APP_HASH),
        (APP_SIGNATURE, json!("e2e-e2e-e2\n"), BLANK_ENDS),
        (APP_SIGNATURE, json!(11), "must be a string, not a number"),
        ("device_data", json!(""), "length (0) out of bounds (min: 1, max: 262144)"),
        ("device_data", json!("d".repeat(256 * 1024 + 1)), "length (262145) out of bounds (min: 1, max: 262144)"),
        ("device_data", json!({}), "must be a string, not an object"),
    ]
}

/// The object with exactly this value at this path.
fn path(field: &str, value: Value) -> Value {
    field.rsplit('.').fold(value, |inner, name| json!({name: inner}))
}

async fn all_faults_are_reported_together_in_the_order_of_the_fields(app: TestApp) {
    let backwards = json!({
        "device_data": "",
        "language": "xx",
        "sms_challenge": {"app_signature": "short"},
        "name": "",
        "key_purpose": "none",
        "key": "04",
        "challenge_type": "letter",
        "key_type": "rsa",
        "person_id": "",
    });
    app.partner().post(DEVICES, backwards).await.assert_faults(&[
        ("person_id", "length (0) out of bounds (min: 1, max: 64)"),
        ("key_type", "must be one of: ecdsa-p256"),
        ("challenge_type", "must be one of: sms, activation_code"),
        ("key", LENGTH),
        ("key_purpose", "must be one of: unrestricted, restricted"),
        ("name", "length (0) out of bounds (min: 1, max: 255)"),
        ("sms_challenge.app_signature", "must be 11 characters of A-Z a-z 0-9 + / -"),
        ("language", "must be one of: de, en, fr"),
        ("device_data", "length (0) out of bounds (min: 1, max: 262144)"),
    ]);
    app.partner().post(DEVICES, json!({})).await.assert_faults(&[
        ("person_id", "is required"),
        ("key_type", "is required"),
        ("key", "is required"),
    ]);
}

async fn a_wrong_type_and_a_wrong_value_have_different_codes(app: TestApp) {
    let answer = app.partner().post(DEVICES, json!({"person_id": 1, "key_type": "rsa", "key": []})).await;
    answer.assert_status(400);
    let errors = answer.json();
    let codes: Vec<&str> = errors["errors"].as_array().unwrap().iter().map(|e| e["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["type_error", "validation_error", "type_error"]);
}

async fn a_body_that_is_not_an_object_is_a_single_fault(app: TestApp) {
    let broken = "the body is not valid JSON (line 1, column 2)";
    for (body, detail) in [("[]", "the body must be a JSON object"), ("nonsense", broken)] {
        let request = Request::post(DEVICES).header("content-type", "application/json").body(Body::from(body)).unwrap();
        let answer = app.partner().request(request).await;
        answer.assert_error(400, "invalid_json", detail);
        assert_eq!(answer.json()["errors"][0].get("source"), None);
    }
}

async fn a_malformed_body_is_refused_before_any_other_check(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    for seed in 0..5 {
        acme.bind("ada", &Phone::new(seed)).await;
    }
    let malformed = json!({"name": ""});
    let fault = [("name", "length (0) out of bounds (min: 1, max: 255)")];
    acme.post(DEVICES, with(request_body("ada", &Phone::new(0)), malformed.clone())).await.assert_faults(&fault);
    acme.post(DEVICES, with(request_body("unknown", &Phone::new(0)), malformed)).await.assert_faults(&fault);
}
