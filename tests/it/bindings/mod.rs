//! Binding a device: the request, reading its challenge and answering it (docs/api-design.md#devices).

mod answers;
mod malformed_requests;
mod messages;
mod pending;
mod refusals;
mod replays;
mod replicas;
mod requests;
mod sample;
mod uniqueness_and_limit;

use serde_json::{Value, json};

use crate::harness::{Answer, Phone, TestClient};

const DEVICES: &str = "/v1/mfa/devices";

/// The smallest valid body of `POST /v1/mfa/devices`.
fn request_body(person: &str, phone: &Phone) -> Value {
    json!({"person_id": person, "key_type": "ecdsa-p256", "key": phone.key()})
}

/// The body with the fields of `more` added or replaced.
fn with(mut body: Value, more: Value) -> Value {
    let (Some(fields), Value::Object(more)) = (body.as_object_mut(), more) else { panic!("two objects") };
    fields.extend(more);
    body
}

fn device_path(id: &str) -> String {
    format!("{DEVICES}/{id}")
}

fn challenge_path(id: &str) -> String {
    format!("/v1/mfa/challenges/signatures/{id}")
}

/// Asserts that the challenge does not exist, or is over.
#[track_caller]
fn assert_not_open(answer: &Answer, id: &str) {
    answer.assert_error(404, "not_found", &format!("signature challenge \"{id}\" not found"));
}

#[track_caller]
fn assert_wrong(answer: &Answer) {
    answer.assert_wrong("the signature is wrong");
}

#[track_caller]
fn assert_key_taken(answer: &Answer) {
    answer.assert_error(409, "key_already_registered", "the key belongs to a bound device; generate a new one");
}

#[track_caller]
fn assert_device_limit(answer: &Answer) {
    let detail = "the person has as many devices as allowed; delete one first";
    answer.assert_error(409, "device_limit_exceeded", detail);
}

/// Ids of the person's bound devices, newest first.
async fn bound_devices(partner: &TestClient, person: &str) -> Vec<String> {
    let list = partner.get(&format!("{DEVICES}?person_id={person}")).await;
    list.assert_status(200);
    let id = |device: &Value| device["id"].as_str().expect("a device has an id").to_owned();
    list.json().as_array().expect("a list").iter().map(id).collect()
}
