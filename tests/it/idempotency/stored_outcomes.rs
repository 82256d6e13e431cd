//! Outcomes stored by another release: with unknown fields, or unreadable. Also the format of the stored outcomes.

use chrono::TimeDelta;
use serde_json::json;

use super::{DEVICES, request_body, send};
use crate::harness::{NUMBER, Phone, TestApp, on_both_databases_and_citus, sql};

on_both_databases_and_citus![
    an_outcome_with_unknown_fields_is_replayed,
    an_unreadable_outcome_gets_500_and_has_no_second_effect,
    a_stored_outcome_has_named_fields,
];

async fn an_outcome_with_unknown_fields_is_replayed(app: TestApp) {
    let (acme, number) = (app.partner(), "/v1/persons/ada/mobile_number");
    let first = send(&acme, "key", "POST", number, &json!({"number": NUMBER})).await;
    first.assert_status(201);
    let more = "update idempotent_request set outcome = replace(outcome, '\"verified\"', '\"since\":{\"day\":1},\"verified\"')";
    sql::execute(app.database.url(), more).await;
    super::assert_replays(&first, &send(&acme, "key", "POST", number, &json!({"number": NUMBER})).await);
}

async fn an_unreadable_outcome_gets_500_and_has_no_second_effect(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let body = request_body("ada", &Phone::new(1));
    send(&acme, "key", "POST", DEVICES, &body).await.assert_status(202);
    for outcome in ["{\"Err\":\"a_refusal_of_the_future\"}", "{\"Ok\":\"+4915123456789\"}", "{"] {
        let change = format!("update idempotent_request set outcome = '{outcome}'");
        sql::execute(app.database.url(), &change).await;
        let again = send(&acme, "key", "POST", DEVICES, &body).await;
        again.assert_error(500, "generic_error", "internal server error");
        assert_eq!(again.headers.get("idempotency-replayed"), None);
    }
    assert_eq!(app.outbox().messages().len(), 1);
}

/// Rows outlive the release that wrote them, so the format is stable.
async fn a_stored_outcome_has_named_fields(app: TestApp) {
    let (acme, phone) = (app.partner(), Phone::new(1));
    send(&acme, "number", "POST", "/v1/persons/ada/mobile_number", &json!({"number": NUMBER, "verified": true})).await;
    app.advance(TimeDelta::seconds(1));
    let asked = send(&acme, "device", "POST", DEVICES, &request_body("ada", &phone)).await.json();
    let path = format!("/v1/mfa/challenges/signatures/{}", asked["id"].as_str().unwrap());
    app.advance(TimeDelta::seconds(1));
    send(&acme, "wrong", "PUT", &path, &json!({"signature": phone.sign("wrong")})).await.assert_status(403);
    let signature = phone.sign(&app.outbox().last().code());
    app.advance(TimeDelta::seconds(1));
    send(&acme, "right", "PUT", &path, &json!({"signature": signature})).await.assert_status(204);

    let outcomes = "select outcome from idempotent_request order by claimed_at";
    let outcomes: Vec<serde_json::Value> =
        sql::texts(app.database.url(), outcomes).await.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    assert_eq!(outcomes[0]["Ok"]["number"], NUMBER);
    assert_eq!(outcomes[0]["Ok"]["verified"], true);
    assert_eq!((&outcomes[1]["Ok"]["id"], &outcomes[1]["Ok"]["key_id"]), (&asked["id"], &asked["key_id"]));
    assert!(outcomes[1]["Ok"]["life"]["expires_at"].is_string(), "{}", outcomes[1]);
    assert_eq!(outcomes[2], json!({"Err": "wrong_signature"}));
    assert_eq!(outcomes[3], json!({"Ok": null}));
}
