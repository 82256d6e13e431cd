//! A person's mobile number (docs/api-design.md#mobile-numbers).

mod confirmation;
mod countries;
mod creation;
mod deletion;

use crate::harness::{NUMBER, TestClient};
use serde_json::json;

/// Another mobile number than the harness's.
const OTHER_NUMBER: &str = "+436641234567";

const NOT_FOUND: &str = "Couldn't find 'MobileNumber' for id 'ada'.";

fn path(person: &str) -> String {
    format!("/v1/persons/{person}/mobile_number")
}

/// Gives the person an unverified number.
async fn give_number(client: &TestClient, person: &str) {
    client.post(&path(person), json!({"number": NUMBER})).await.assert_status(201);
}

/// Whether the person's number is verified.
async fn is_verified(client: &TestClient, person: &str) -> bool {
    let number = client.get(&path(person)).await;
    number.assert_status(200);
    number.json()["verified"].as_bool().unwrap()
}
