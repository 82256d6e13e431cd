//! Limits of bodies: size, total memory of all bodies, and time.

use std::pin::pin;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use super::{DEVICES, Unfinished, assert_shed, device_body};
use crate::harness::{TestApp, TestClient, on_both_databases};

on_both_databases![
    the_memory_of_a_body_is_reserved_until_its_request_ends,
    a_content_length_above_the_limit_is_refused_before_the_body,
    an_incomplete_body_is_400,
    token_requests_have_a_lower_limit_and_their_own_memory,
    a_broken_off_body_releases_its_memory,
];

/// A replica with this many bytes of memory for all bodies, and the same limit for one body.
async fn with_memory(app: &TestApp, bytes: &str) -> TestClient {
    with_memory_and_deadline(app, bytes, "3").await
}

async fn with_memory_and_deadline(app: &TestApp, bytes: &str, deadline_seconds: &str) -> TestClient {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let settings = [
        ("REQUEST_BODY_LIMIT_BYTES", bytes),
        ("REQUEST_BODIES_TOTAL_BYTES", bytes),
        ("REQUEST_DEADLINE_SECONDS", deadline_seconds),
        ("REQUESTS_AT_ONCE", "8"),
    ];
    acme.through(app.replica(&settings).await)
}

/// A request for a device whose body has this many bytes.
fn long_device_body(phone: u32, bytes: usize) -> Value {
    let mut body = device_body("ada", phone);
    body["device_data"] = json!("x");
    let rest = bytes - body.to_string().len();
    body["device_data"] = json!("x".repeat(rest + 1));
    body
}

/// Whether a body of this many bytes gets memory. It has no effect: its JSON type is wrong.
async fn fits(client: &TestClient, bytes: usize) -> bool {
    let answer = client.post(DEVICES, Value::from("x".repeat(bytes - 2))).await;
    if answer.status == 400 {
        return true;
    }
    assert_shed(&answer);
    false
}

async fn the_memory_of_a_body_is_reserved_until_its_request_ends(app: TestApp) {
    let client = with_memory(&app, "4096").await;
    let hold = app.outbox().hold();
    let (asking, body) = (client.clone(), long_device_body(1, 3000));
    let request = tokio::spawn(async move { asking.post(DEVICES, body).await });
    hold.reached().await;
    // Exactly 3000 of 4096 bytes are reserved.
    assert!(!fits(&client, 1097).await);
    assert!(fits(&client, 1096).await);
    // Requests without a body need no memory.
    client.get(DEVICES).await.assert_status(200);

    hold.release();
    request.await.unwrap().assert_status(202);
    assert!(fits(&client, 4096).await);
}

async fn a_content_length_above_the_limit_is_refused_before_the_body(app: TestApp) {
    let client = with_memory(&app, "4096").await;
    let announced = Request::post(DEVICES).body(Unfinished::announcing(4097)).unwrap();
    client.request(announced).await.assert_error(413, "payload_too_large", "the body is too large");
    // `Content-Length` alone reserves no memory.
    let request = Request::post(DEVICES).body(Unfinished::announcing(4096)).unwrap();
    let mut waiting = pin!(client.request(request));
    tokio::select! {
        biased;
        _ = waiting.as_mut() => panic!("this body never arrives"),
        fits = fits(&client, 4096) => assert!(fits),
    }
    waiting.await.assert_status(400);
}

async fn an_incomplete_body_is_400(app: TestApp) {
    let client = with_memory(&app, "4096").await;
    let answer = client.request(Request::post(DEVICES).body(Unfinished::body("{\"person_id\"")).unwrap()).await;
    let detail = "the body was not complete within 2 s; send it without pauses";
    answer.assert_error(400, "invalid_json", detail);
    assert_eq!(answer.headers["connection"], "close");
    assert!(fits(&client, 4096).await);

    let form = Request::post("/oauth2/token").body(Unfinished::body("grant_type=client")).unwrap();
    let json = Request::post("/oauth/token").body(Unfinished::body("{\"grant_type\"")).unwrap();
    for request in [form, json] {
        let answer = client.request(request).await;
        answer.assert_status(400);
        assert_eq!(answer.json()["error"], "invalid_request");
    }
}

async fn token_requests_have_a_lower_limit_and_their_own_memory(app: TestApp) {
    let client = with_memory(&app, "65536").await;
    let form = |bytes: usize| {
        let credentials = "grant_type=client_credentials&client_id=sandbox&client_secret=sandbox&x=";
        let body = format!("{credentials}{}", "x".repeat(bytes - credentials.len()));
        Request::post("/oauth2/token").body(Body::from(body)).unwrap()
    };
    client.request(form(16 * 1024)).await.assert_status(200);
    client.request(form(16 * 1024 + 1)).await.assert_error(413, "payload_too_large", "the body is too large");
    // Slow token requests do not reduce the memory of the API.
    let slow: Vec<_> = (0..8)
        .map(|_| {
            let client = client.clone();
            let body = Unfinished::body(&"x".repeat(16 * 1024));
            tokio::spawn(async move { client.request(Request::post("/oauth2/token").body(body).unwrap()).await })
        })
        .collect();
    assert!(fits(&client, 65536).await);
    // Nor do they hold the one place for token requests.
    client.request(form(100)).await.assert_status(200);
    for request in slow {
        request.await.unwrap().assert_status(400);
    }
}

async fn a_broken_off_body_releases_its_memory(app: TestApp) {
    // Long enough that a busy machine gets to break the body off first.
    let client = with_memory_and_deadline(&app, "4096", "60").await;
    let (request, break_off) = loop {
        let (body, break_off) = Unfinished::until_broken_off(&" ".repeat(4000));
        let sending = client.clone();
        let request = tokio::spawn(async move { sending.request(Request::post(DEVICES).body(body).unwrap()).await });
        // A probe that holds its memory when the body arrives causes the request to be shed: then it is sent again.
        while !request.is_finished() && fits(&client, 97).await {}
        if !request.is_finished() {
            break (request, break_off);
        }
    };
    break_off.send(std::io::ErrorKind::UnexpectedEof.into()).await.unwrap();
    request.await.unwrap().assert_error(400, "invalid_json", "the body is incomplete");
    assert!(fits(&client, 4096).await);
}
