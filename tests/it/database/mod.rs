//! The database as an operator may configure it: session settings, preconditions at start-up, error codes, and schema
//! changes at run time.

mod login;
mod preconditions;
mod refusals;
mod sessions;
mod sockets;
mod sqlite_file;
mod stale_plans;
mod tls;

use serde_json::json;

use crate::harness::{NUMBER, Phone, TestApp, TestClient, books};

/// Every kind of read and write for one person, each with its status on a healthy database.
async fn main_flows(app: &TestApp, acme: &TestClient, person: &str, seed: u32) {
    main_flows_with(app, acme, person, seed, async |_| {}).await;
}

/// The same; runs `before` with the number of each request. Returns the number of requests.
async fn main_flows_with(
    app: &TestApp,
    acme: &TestClient,
    person: &str,
    seed: u32,
    before: impl AsyncFn(usize),
) -> usize {
    let steps = std::cell::Cell::new(0);
    let call = async |method: &str, path: &str, body: Option<serde_json::Value>, status: u16| {
        before(steps.replace(steps.get() + 1)).await;
        let answer = acme.send(method, path, body).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path}: {}", String::from_utf8_lossy(&answer.body));
        serde_json::from_slice::<serde_json::Value>(&answer.body).unwrap_or_default()
    };
    let number = format!("/v1/persons/{person}/mobile_number");
    let (phone, other) = (Phone::new(seed), Phone::new(seed + 1));
    let body = json!({"number": NUMBER});
    call("POST", &number, Some(body.clone()), 201).await;
    call("POST", &format!("{number}/authorize"), Some(body), 201).await;
    let wrong = json!({"number": NUMBER, "token": "000000"});
    call("POST", &format!("{number}/confirm"), Some(wrong), 403).await;
    let right = json!({"number": NUMBER, "token": app.outbox().last().code()});
    call("POST", &format!("{number}/confirm"), Some(right), 201).await;
    call("GET", &number, None, 200).await;
    // A typographic apostrophe, which phones insert into names, and characters that SQL literals could misread.
    let name = "Zoë\u{2019}s Phone \\ 'x'";
    let new_device = json!({"person_id": person, "key_type": "ecdsa-p256", "key": phone.key(), "name": name});
    let asked = call("POST", "/v1/mfa/devices", Some(new_device), 202).await;
    let id = asked["id"].as_str().expect("an id");
    let challenge = format!("/v1/mfa/challenges/signatures/{id}");
    call("GET", &challenge, None, 200).await;
    call("PUT", &challenge, Some(json!({"signature": phone.sign("wrong")})), 403).await;
    let right = json!({"signature": phone.sign(&app.outbox().last().code())});
    call("PUT", &challenge, Some(right), 204).await;
    let device = format!("/v1/mfa/devices/{id}");
    assert_eq!(call("GET", &device, None, 200).await["name"], json!(name));
    let added = call("POST", &format!("{device}/keys"), Some(phone.vouch_for(&other)), 201).await;
    let key = added["id"].as_str().expect("an id");
    call("GET", &format!("{device}/keys"), None, 200).await;
    call("GET", &format!("{device}/keys/{key}"), None, 200).await;
    let list = call("GET", &format!("/v1/mfa/devices?person_id={person}"), None, 200).await;
    assert_eq!(list.as_array().map(Vec::len), Some(1));
    call("DELETE", &device, None, 204).await;
    call("DELETE", &number, None, 200).await;
    app.stranger().get("/readyz").await.assert_status(200);
    books::assert_balanced(&app.database).await;
    steps.get()
}
