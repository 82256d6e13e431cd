//! The order of the checks that all operations share ("Which comes first" in `docs/errors.md`).

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Request};

use crate::contract::calls::{Call, Scene};
use crate::harness::{Answer, Engine, TestApp, TestClient};

/// The faults that a request can have, in the documented order, each with its status and code.
const ORDER: [(&str, u16, &str); 7] = [
    ("two hosts", 400, "validation_error"),
    ("no token", 401, "token_required"),
    ("a bad idempotency key", 400, "validation_error"),
    ("another media type", 415, "unsupported_media_type"),
    ("a content encoding", 415, "unsupported_media_type"),
    ("too large a body", 413, "payload_too_large"),
    ("a used idempotency key", 422, "idempotency_key_reused"),
];

/// Sends a call with this fault and all later ones.
async fn send(app: &TestApp, call: &Call, from: usize) -> Answer {
    let has = |fault: &str| ORDER[from..].iter().any(|(name, ..)| *name == fault);
    let body = if has("too large a body") { "x".repeat(4096) } else { "{}".to_owned() };
    let mut request = Request::builder().method(call.method).uri(&call.path).body(Body::from(body)).unwrap();
    let headers = request.headers_mut();
    let mut add = |name: &'static str, value: &'static str| {
        headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    };
    add("host", "a.example");
    if has("two hosts") {
        add("host", "b.example");
    }
    if has("a bad idempotency key") {
        add("idempotency-key", "");
    } else if call.method != "DELETE" {
        add("idempotency-key", "used");
    }
    if has("another media type") {
        add("content-type", "text/plain");
    }
    if has("a content encoding") {
        add("content-encoding", "gzip");
    }
    let client: TestClient = if has("no token") { app.stranger() } else { app.partner() };
    client.request(request).await
}

#[tokio::test]
async fn each_operation_checks_in_the_documented_order() {
    let app = TestApp::with(Engine::Sqlite, &[("REQUEST_BODY_LIMIT_BYTES", "2048")]).await;
    let scene = Scene::set(&app, &app.partner()).await;
    for call in scene.calls().into_iter().filter(|call| call.body.is_some()) {
        let takes_keys = call.takes_idempotency_keys();
        if takes_keys {
            // A running request with another body holds the key for a minute.
            call.claim(&app, "used", "{\"other\": true}").await;
        }
        for (from, (fault, status, code)) in ORDER.into_iter().enumerate() {
            if !takes_keys && fault.contains("idempotency") {
                continue;
            }
            let answer = send(&app, &call, from).await;
            answer.assert_status(status);
            assert_eq!(answer.json()["errors"][0]["code"], code, "{} with {fault}", call.operation);
            let accepted = answer.headers.get("accept-encoding").map(|value| value.to_str().unwrap());
            assert_eq!(accepted.is_some(), fault == "a content encoding", "{} with {fault}", call.operation);
        }
    }
}
