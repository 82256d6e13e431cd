//! Binding a device: asking for it, and answering the challenge.

use chrono::TimeDelta;
use serde_json::json;

use crate::harness::{Phone, TestApp, on_both_databases};

on_both_databases![a_right_signature_binds_the_device, a_fourth_wrong_signature_finds_the_challenge_gone,];

async fn a_right_signature_binds_the_device(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let bound = acme.bind("ada", &Phone::new(1)).await;
    app.advance(TimeDelta::minutes(1));

    let device = acme.get(&format!("/v1/mfa/devices/{}", bound.id)).await;
    device.assert_status(200);
    let expected = json!({"id": bound.id, "person_id": "ada", "created_at": "2022-03-18T14:50:04Z"});
    assert_eq!(device.json(), expected);
}

async fn a_fourth_wrong_signature_finds_the_challenge_gone(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let phone = Phone::new(1);
    let asked = acme.ask_for_device("ada", &phone).await;
    for _ in 0..3 {
        acme.answer(&asked.id, &phone.sign("wrong")).await.assert_error(403, "invalid_tan", "the signature is wrong");
    }
    let gone = format!("signature challenge \"{}\" not found", asked.id);
    acme.answer(&asked.id, &phone.sign("wrong")).await.assert_error(404, "not_found", &gone);
    let code = app.outbox().last().code();
    acme.answer(&asked.id, &phone.sign(&code)).await.assert_error(404, "not_found", &gone);
}
