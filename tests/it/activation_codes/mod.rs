//! Activation codes: creating, listing, ending and delivering them, and binding devices with them
//! (docs/api-design.md#activation-codes).

mod binding;
mod delivery;
mod lists;
mod lives;

use serde_json::{Value, json};

use crate::harness::{ACTIVATION_CODES, Phone, TestClient};

/// The body of a request for an activation code.
pub(crate) fn activation_wish(person: &str) -> Value {
    json!({"person_id": person, "origin": "WEB", "purpose": "DEVICE_BINDING", "delivery_method": "SNAILMAIL"})
}

/// The body of a report of a delivery event.
pub(crate) fn delivery_event() -> Value {
    json!({"type": "DISPATCHED", "timestamp": "2026-11-26T07:30:00Z", "provider": "Example Post"})
}

/// A live activation code.
pub(crate) struct Letter {
    pub(crate) id: String,
    pub(crate) code: String,
}

impl Letter {
    pub(crate) fn path(&self) -> String {
        format!("{ACTIVATION_CODES}/{}", self.id)
    }
}

/// Creates an activation code.
pub(crate) async fn activation_code(client: &TestClient, person: &str) -> Letter {
    let created = client.post(ACTIVATION_CODES, activation_wish(person)).await.assert_status(201).json();
    let text = |name: &str| created[name].as_str().expect("a text").to_owned();
    Letter { id: text("id"), code: text("code") }
}

/// The body of a request to bind a device with an activation code.
pub(crate) fn binding_by_letter(person: &str, phone: &Phone) -> Value {
    json!({"person_id": person, "key_type": "ecdsa-p256", "key": phone.key(), "challenge_type": "activation_code"})
}

/// Requests a device with the person's activation code; gives its id.
pub(crate) async fn ask_by_letter(client: &TestClient, person: &str, phone: &Phone) -> String {
    let asked = client.post("/v1/mfa/devices", binding_by_letter(person, phone)).await.assert_status(202).json();
    asked["id"].as_str().expect("an id").to_owned()
}
