//! Valid requests for a device that are refused: no verified number, too many devices, a key that is taken.

use axum::body::Body;
use axum::http::Request;
use serde_json::json;

use super::{DEVICES, assert_device_limit, assert_key_taken, device_path, request_body};
use crate::harness::{Phone, TestApp, on_both_databases};

on_both_databases![
    the_refusal_does_not_reveal_why_there_is_no_verified_number,
    a_sixth_device_is_refused_until_one_is_deleted,
    each_person_of_each_partner_has_its_own_limit,
    a_key_belongs_to_one_device_of_a_partner,
    a_key_that_was_added_to_a_device_is_taken,
    another_partner_may_bind_the_same_key,
    a_deleted_device_frees_its_key,
    the_refusals_have_an_order,
];

async fn the_refusal_does_not_reveal_why_there_is_no_verified_number(app: TestApp) {
    let (acme, globex) = (app.partner(), app.other_partner());
    acme.post("/v1/persons/unverified/mobile_number", json!({"number": "+4915112345678"})).await.assert_status(201);
    acme.verified_person("gone").await;
    acme.delete("/v1/persons/gone/mobile_number").await.assert_status(200);
    globex.verified_person("elsewhere").await;

    let mut bodies = Vec::new();
    for person in ["unknown", "unverified", "gone", "elsewhere"] {
        let body = Body::from(request_body(person, &Phone::new(1)).to_string());
        let request = Request::post(DEVICES).header("content-type", "application/json").header("x-request-id", "same");
        let answer = acme.request(request.body(body).unwrap()).await;
        answer.assert_faults(&[("number", "telephone number not found")]);
        assert_eq!(answer.json()["errors"][0]["code"], "validation_error");
        bodies.push(answer.body);
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    assert_eq!(app.outbox().messages().len(), 0);
}

async fn a_sixth_device_is_refused_until_one_is_deleted(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let mut newest = None;
    for seed in 0..5 {
        newest = Some(acme.bind("ada", &Phone::new(seed)).await);
    }
    let sent = app.outbox().messages().len();
    assert_device_limit(&acme.post(DEVICES, request_body("ada", &Phone::new(5))).await);
    assert_eq!(app.outbox().messages().len(), sent);

    acme.delete(&device_path(&newest.unwrap().id)).await.assert_status(204);
    acme.bind("ada", &Phone::new(5)).await;
    assert_device_limit(&acme.post(DEVICES, request_body("ada", &Phone::new(6))).await);
}

async fn each_person_of_each_partner_has_its_own_limit(app: TestApp) {
    let (acme, globex) = (app.partner(), app.other_partner());
    acme.verified_person("ada").await;
    acme.verified_person("bob").await;
    globex.verified_person("ada").await;
    for seed in 0..5 {
        acme.bind("ada", &Phone::new(seed)).await;
    }
    acme.bind("bob", &Phone::new(5)).await;
    globex.bind("ada", &Phone::new(6)).await;
}

async fn a_key_belongs_to_one_device_of_a_partner(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    acme.verified_person("bob").await;
    acme.bind("ada", &Phone::new(1)).await;
    for person in ["ada", "bob"] {
        assert_key_taken(&acme.post(DEVICES, request_body(person, &Phone::new(1))).await);
    }
}

async fn a_key_that_was_added_to_a_device_is_taken(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let (phone, vault) = (Phone::new(1), Phone::new(2));
    let bound = acme.bind("ada", &phone).await;
    acme.post(&format!("{}/keys", device_path(&bound.id)), phone.vouch_for(&vault)).await.assert_status(201);
    assert_key_taken(&acme.post(DEVICES, request_body("ada", &vault)).await);
}

async fn another_partner_may_bind_the_same_key(app: TestApp) {
    let (acme, globex) = (app.partner(), app.other_partner());
    acme.verified_person("ada").await;
    globex.verified_person("ada").await;
    let phone = Phone::new(1);
    let here = acme.bind("ada", &phone).await;
    let there = globex.bind("ada", &phone).await;
    assert_ne!(here, there);
}

async fn a_deleted_device_frees_its_key(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    acme.verified_person("bob").await;
    let phone = Phone::new(1);
    let bound = acme.bind("ada", &phone).await;
    acme.delete(&device_path(&bound.id)).await.assert_status(204);
    acme.bind("bob", &phone).await;
}

async fn the_refusals_have_an_order(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    for seed in 0..5 {
        acme.bind("ada", &Phone::new(seed)).await;
    }
    // Too many devices and a taken key; then also no number.
    assert_device_limit(&acme.post(DEVICES, request_body("ada", &Phone::new(0))).await);
    acme.delete("/v1/persons/ada/mobile_number").await.assert_status(200);
    let answer = acme.post(DEVICES, request_body("ada", &Phone::new(0))).await;
    answer.assert_faults(&[("number", "telephone number not found")]);
}
