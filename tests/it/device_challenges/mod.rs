//! Challenges of bound devices: opening, reading and answering one (docs/api-design.md#device-challenges).

mod answering;
mod approving;
mod declining;
mod evidence;
mod opening;
mod separation;
mod texts;

use axum::body::Body;
use axum::http::Request;
use serde_json::Value;

use crate::harness::{Answer, DEVICE_CHALLENGES, Phone, TestClient};

fn path(id: &str) -> String {
    format!("{DEVICE_CHALLENGES}/{id}")
}

/// Binds this phone to a person with a verified number; gives the device's id.
async fn bound(client: &TestClient, person: &str, phone: &Phone) -> String {
    client.verified_person(person).await;
    client.bind(person, phone).await.id
}

/// Answers with `Prefer: return=representation`.
async fn answer_in_full(client: &TestClient, challenge: &str, body: Value) -> Answer {
    let request = Request::put(path(challenge)).header("prefer", "return=representation");
    client.request(request.body(Body::from(body.to_string())).unwrap()).await
}

#[track_caller]
fn assert_not_open(answer: &Answer, id: &str) {
    answer.assert_error(404, "not_found", &format!("device challenge \"{id}\" not found"));
}

#[track_caller]
fn assert_wrong(answer: &Answer) {
    answer.assert_wrong("the signature is wrong");
}

/// The device's key as the API shows it.
async fn first_key(client: &TestClient, device: &str) -> Value {
    client.get(&format!("/v1/mfa/devices/{device}/keys")).await.json()[0]["keys"][0].clone()
}
