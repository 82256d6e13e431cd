//! The table of errors: some request causes each row, with the documented status and title.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use crate::harness::contract::{CONTRACT, error_table};
use crate::harness::{Answer, Broken, NUMBER, Network, Phone, TestApp, on_both_databases};

on_both_databases![some_request_causes_each_row_of_the_table];

/// Errors of idempotency keys, which `tests/it/idempotency` covers.
const ELSEWHERE: [&str; 2] = ["conflict", "idempotency_key_reused"];

const DEVICES: &str = "/v1/mfa/devices";

async fn some_request_causes_each_row_of_the_table(app: TestApp) {
    let given = provoke_everything(&app).await;
    for row in CONTRACT.error_table() {
        if ELSEWHERE.contains(&&*row.code) {
            continue;
        }
        let (_, answer) = given.iter().find(|(code, _)| *code == row.code).unwrap_or_else(|| panic!("no {row:?}"));
        let error = &answer.json()["errors"][0];
        let (code, title) = (json!(row.code), json!(row.title));
        assert_eq!((&error["code"], &error["title"], &error["status"]), (&code, &title, &json!(row.status)));
        assert_eq!(answer.status, row.status);
        assert_eq!(error["id"], answer.headers["x-request-id"].to_str().unwrap());
        assert_eq!(answer.headers["content-type"], "application/json");
    }
    assert_eq!(given.len() + ELSEWHERE.len(), CONTRACT.error_table().len(), "codes that are not in the table");
}

#[test]
fn the_table_in_the_documents_is_the_one_of_openapi_yaml() {
    let page = include_str!("../../../docs/errors.md");
    let (_, table) = page.split_once("\n## Table\n").expect("the heading of the table");
    let table = table.split("\n## ").next().unwrap_or_default();
    let documented = error_table(table);
    for row in CONTRACT.error_table() {
        assert!(documented.contains(row), "docs/errors.md lacks {row:?}");
    }
    for row in &documented {
        assert!(CONTRACT.error_table().contains(row), "openapi.yaml lacks {row:?}");
    }
}

/// An answer for each code.
async fn provoke_everything(app: &TestApp) -> Vec<(&'static str, Answer)> {
    let (acme, stranger) = (app.partner(), app.stranger());
    let number = "/v1/persons/ada/mobile_number";
    acme.post(number, json!({"number": NUMBER})).await.assert_status(201);
    let raw = async |content_type: &str, body: Vec<u8>| {
        let request = Request::post(DEVICES).header("content-type", content_type).body(Body::from(body)).unwrap();
        acme.request(request).await
    };
    let new_device = |seed| json!({"person_id": "eve", "key_type": "ecdsa-p256", "key": Phone::new(seed).key()});
    let mut given = vec![
        ("invalid_json", raw("application/json", b"{".to_vec()).await),
        ("type_error", acme.post(DEVICES, json!({"person_id": 1})).await),
        ("validation_error", acme.post(DEVICES, json!({})).await),
        ("token_required", stranger.get(DEVICES).await),
        ("invalid_token", app.with_token(Some("x.y.z")).get(DEVICES).await),
        ("invalid_tan", acme.post(&format!("{number}/confirm"), json!({"number": NUMBER, "token": "000000"})).await),
        ("unauthorized_action", {
            let clerk = app.client("acme", device_management::domain::clients::Permissions::default());
            clerk.post("/v1/persons/bob/mobile_number", json!({"number": NUMBER, "verified": true})).await
        }),
        ("not_found", acme.get("/v1/mfa/devices/none").await),
        ("model_not_found", acme.get("/v1/persons/unknown/mobile_number").await),
        ("method_not_allowed", acme.send("PATCH", DEVICES, None).await),
        ("payload_too_large", raw("application/json", vec![b' '; 512 * 1024 + 1]).await),
        ("unsupported_media_type", raw("text/plain", b"{}".to_vec()).await),
        ("mobile_number_exists", acme.post(number, json!({"number": NUMBER})).await),
    ];
    acme.verified_person("eve").await;
    let device = acme.bind("eve", &Phone::new(1)).await.id;
    let keys = format!("{DEVICES}/{device}/keys");
    for seed in 10..19 {
        acme.post(&keys, key_wish(&Phone::new(seed))).await.assert_status(201);
    }
    given.push(("key_limit_exceeded", acme.post(&keys, key_wish(&Phone::new(19))).await));
    given.push(("key_already_registered", acme.post(DEVICES, new_device(10)).await));
    app.network(Network::IsDown);
    given.push(("bad_gateway", acme.post(DEVICES, new_device(2)).await));
    app.network(Network::Works);
    let broken = acme.through(app.broken_replica(Broken::SmsSender, &[]).await);
    given.push(("generic_error", broken.post(DEVICES, new_device(2)).await));
    for seed in 2..6 {
        acme.bind("eve", &Phone::new(seed)).await;
    }
    let mut unsigned = key_wish(&Phone::new(20));
    unsigned["device_signature"]["signature"] = json!(Phone::new(1).sign("wrong"));
    acme.verified_person("hasty").await;
    let hasty = format!("{DEVICES}/{}/keys", acme.bind("hasty", &Phone::new(6)).await.id);
    for _ in 0..5 {
        acme.post(&hasty, unsigned.clone()).await.assert_status(403);
    }
    given.push(("too_many_requests", acme.post(&hasty, unsigned).await));
    given.push(("device_limit_exceeded", acme.post(DEVICES, new_device(7)).await));
    app.store().close().await;
    given.push(("service_unavailable", acme.get(DEVICES).await));
    given
}

fn key_wish(new: &Phone) -> Value {
    let signature = Phone::new(1).sign(&new.key());
    let signature = json!({"signature_key_purpose": "unrestricted", "signature": signature});
    json!({"key": new.key(), "key_type": "ecdsa-p256", "device_signature": signature})
}
