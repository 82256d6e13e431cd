//! Valid requests for a device: required and optional fields, and the fields that the device stores.

use serde_json::{Value, json};

use super::{DEVICES, device_path, request_body, with};
use crate::harness::{Phone, TestApp, TestClient, on_both_databases};

on_both_databases![
    the_required_fields_suffice,
    the_name_and_the_key_purpose_are_stored,
    null_counts_as_absent_and_unknown_fields_are_ignored,
    the_hexadecimal_key_may_be_in_either_case,
    values_of_maximum_length_are_accepted,
    device_data_may_begin_and_end_with_white_space,
];

async fn the_required_fields_suffice(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let asked = acme.post(DEVICES, request_body("ada", &Phone::new(1))).await;
    asked.assert_status(202);
    let asked = asked.json();
    let (id, key_id) = (asked["id"].as_str().unwrap(), asked["key_id"].as_str().unwrap());
    assert_ne!(id, key_id);
    let (created_at, expires_at) = ("2022-03-18T14:50:04Z", "2022-03-18T14:55:04Z");
    let challenge = json!({"id": id, "type": "signature", "created_at": created_at, "expires_at": expires_at});
    assert_eq!(asked, json!({"id": id, "key_id": key_id, "challenge": challenge}));
}

async fn the_name_and_the_key_purpose_are_stored(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let more = json!({"name": "Adas Täschchen", "key_purpose": "restricted"});
    let device = bound(&app, &acme, &Phone::new(1), more).await;
    assert_eq!(device["name"], "Adas Täschchen");
    assert_eq!(device["keys"][0]["key_purpose"], "restricted");
}

async fn null_counts_as_absent_and_unknown_fields_are_ignored(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let more = json!({
        "challenge_type": null,
        "key_purpose": null,
        "name": null,
        "sms_challenge": {"app_signature": null, "colour": "red"},
        "language": null,
        "device_data": null,
        "colour": ["red"],
    });
    let device = bound(&app, &acme, &Phone::new(1), more).await;
    assert_eq!(device.get("name"), None);
    assert_eq!(device["keys"][0]["key_purpose"], "unrestricted");
}

async fn the_hexadecimal_key_may_be_in_either_case(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let phone = Phone::new(1);
    assert_ne!(phone.key(), phone.key().to_uppercase());
    bound(&app, &acme, &phone, json!({"key": phone.key().to_uppercase()})).await;
}

async fn values_of_maximum_length_are_accepted(app: TestApp) {
    let acme = app.partner();
    let person = "p".repeat(64);
    acme.verified_person(&person).await;
    let name = "é".repeat(255);
    let more = json!({"person_id": person, "name": name, "device_data": "d".repeat(256 * 1024)});
    let device = bound(&app, &acme, &Phone::new(1), more).await;
    assert_eq!(device["person_id"], *person);
    assert_eq!(device["name"], *name);
}

async fn device_data_may_begin_and_end_with_white_space(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    bound(&app, &acme, &Phone::new(1), json!({"device_data": " \n"})).await;
}

/// Requests a device for Ada, or for the `person_id` in `more`, answers its challenge, and returns the device with its
/// keys.
async fn bound(app: &TestApp, partner: &TestClient, phone: &Phone, more: Value) -> Value {
    let asked = partner.post(DEVICES, with(request_body("ada", phone), more)).await;
    asked.assert_status(202);
    let id = asked.json()["id"].as_str().unwrap().to_owned();
    partner.answer(&id, &phone.sign(&app.outbox().last().code())).await.assert_status(204);
    let device = partner.get(&format!("{}/keys", device_path(&id))).await;
    device.assert_status(200);
    device.json()[0].clone()
}
