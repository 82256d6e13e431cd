//! Room and time for bodies.

use std::pin::pin;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use super::{DEVICES, Unfinished, assert_shed, wish};
use crate::harness::{TestApp, TestClient, on_both_databases};

on_both_databases![
    the_room_of_a_body_is_taken_until_its_work_has_ended,
    a_body_that_announces_too_much_is_refused_before_it_comes,
    a_body_that_never_ends_is_refused_as_the_callers_fault,
    strangers_send_short_bodies_into_room_of_their_own,
    a_body_that_broke_off_gives_its_room_back,
];

/// The service with room for so many bytes, to which each body may contribute as many.
async fn with_room(app: &TestApp, bytes: &str) -> TestClient {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let settings = [
        ("REQUEST_BODY_LIMIT_BYTES", bytes),
        ("REQUEST_BODIES_TOTAL_BYTES", bytes),
        ("REQUEST_DEADLINE_SECONDS", "3"),
        ("REQUESTS_AT_ONCE", "8"),
    ];
    acme.through(app.replica(&settings).await)
}

/// A wish for a device that is so long.
fn long_wish(phone: u32, bytes: usize) -> Value {
    let mut wish = wish("ada", phone);
    wish["device_data"] = json!("x");
    let rest = bytes - wish.to_string().len();
    wish["device_data"] = json!("x".repeat(rest + 1));
    wish
}

/// Something with a body of so many bytes that has no effect: its type is wrong.
async fn fits(client: &TestClient, bytes: usize) -> bool {
    let answer = client.post(DEVICES, Value::from("x".repeat(bytes - 2))).await;
    if answer.status == 400 {
        return true;
    }
    assert_shed(&answer);
    false
}

async fn the_room_of_a_body_is_taken_until_its_work_has_ended(app: TestApp) {
    let client = with_room(&app, "4096").await;
    let hold = app.outbox().hold();
    let (asking, wish) = (client.clone(), long_wish(1, 3000));
    let request = tokio::spawn(async move { asking.post(DEVICES, wish).await });
    hold.reached().await;
    // Of 4096 bytes 3000 are taken, to the byte.
    assert!(!fits(&client, 1097).await);
    assert!(fits(&client, 1096).await);
    // Requests without a body need no room.
    client.get(DEVICES).await.assert_status(200);

    hold.release();
    request.await.unwrap().assert_status(202);
    assert!(fits(&client, 4096).await);
}

async fn a_body_that_announces_too_much_is_refused_before_it_comes(app: TestApp) {
    let client = with_room(&app, "4096").await;
    let announced = Request::post(DEVICES).body(Unfinished::announcing(4097)).unwrap();
    client.request(announced).await.assert_error(413, "payload_too_large", "the body is too large");
    // Announcing takes no room from others.
    let request = Request::post(DEVICES).body(Unfinished::announcing(4096)).unwrap();
    let mut waiting = pin!(client.request(request));
    tokio::select! {
        biased;
        _ = waiting.as_mut() => panic!("nothing came of this body"),
        fits = fits(&client, 4096) => assert!(fits),
    }
    waiting.await.assert_status(400);
}

async fn a_body_that_never_ends_is_refused_as_the_callers_fault(app: TestApp) {
    let client = with_room(&app, "4096").await;
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

async fn strangers_send_short_bodies_into_room_of_their_own(app: TestApp) {
    let client = with_room(&app, "65536").await;
    let form = |bytes: usize| {
        let credentials = "grant_type=client_credentials&client_id=sandbox&client_secret=sandbox&x=";
        let body = format!("{credentials}{}", "x".repeat(bytes - credentials.len()));
        Request::post("/oauth2/token").body(Body::from(body)).unwrap()
    };
    client.request(form(16 * 1024)).await.assert_status(200);
    client.request(form(16 * 1024 + 1)).await.assert_error(413, "payload_too_large", "the body is too large");
    // What strangers send slowly is not in the way of the API.
    let slow: Vec<_> = (0..8)
        .map(|_| {
            let client = client.clone();
            let body = Unfinished::body(&"x".repeat(16 * 1024));
            tokio::spawn(async move { client.request(Request::post("/oauth2/token").body(body).unwrap()).await })
        })
        .collect();
    assert!(fits(&client, 65536).await);
    // Nor do they take the one place that there is for tokens.
    client.request(form(100)).await.assert_status(200);
    for request in slow {
        request.await.unwrap().assert_status(400);
    }
}

async fn a_body_that_broke_off_gives_its_room_back(app: TestApp) {
    let client = with_room(&app, "4096").await;
    let (body, break_off) = Unfinished::until_told(&" ".repeat(4000));
    let request = {
        let client = client.clone();
        tokio::spawn(async move { client.request(Request::post(DEVICES).body(body).unwrap()).await })
    };
    while fits(&client, 97).await {}
    break_off.send(std::io::ErrorKind::UnexpectedEof.into()).await.unwrap();
    request.await.unwrap().assert_error(400, "invalid_json", "the body broke off");
    assert!(fits(&client, 4096).await);
}
