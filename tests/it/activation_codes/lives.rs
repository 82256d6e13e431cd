//! Creating, reading and ending an activation code.

use axum::body::Body;
use axum::http::Request;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::{activation_code, activation_wish};
use crate::harness::{ACTIVATION_CODES, TestApp, on_both_databases, sql};

on_both_databases![
    a_code_is_shown_for_thirty_days_and_then_expired,
    a_second_live_code_is_refused_unless_it_replaces_the_first,
    a_deleted_code_has_expired_and_shows_no_code,
    invalid_values_are_refused_together,
    a_code_is_neither_stored_nor_kept_for_an_idempotency_key,
    another_partner_does_not_find_a_code,
];

fn instant(value: &Value) -> DateTime<Utc> {
    value.as_str().expect("an instant").parse().expect("RFC 3339")
}

async fn a_code_is_shown_for_thirty_days_and_then_expired(app: TestApp) {
    let acme = app.partner();
    let created = acme.post(ACTIVATION_CODES, activation_wish("ada")).await.assert_status(201).json();
    let code = created["code"].as_str().expect("a code").to_owned();
    assert_eq!(code.len(), 12, "{code}");
    assert_eq!(instant(&created["expires_at"]) - instant(&created["created_at"]), TimeDelta::days(30));
    assert_eq!((&created["usage_count"], &created["max_usage_count"]), (&json!(0), &json!(1)));
    let path = format!("{ACTIVATION_CODES}/{}", created["id"].as_str().unwrap());
    assert_eq!(acme.get(&path).await.assert_status(200).json(), created);

    app.advance(TimeDelta::days(30) - TimeDelta::seconds(1));
    let acme = app.partner();
    assert_eq!(acme.get(&path).await.assert_status(200).json()["code"], json!(code));
    app.advance(TimeDelta::seconds(1));
    let expired = acme.get(&path).await.assert_status(200).json();
    assert_eq!((expired.get("code"), &expired["expires_at"]), (None, &created["expires_at"]));
}

async fn a_second_live_code_is_refused_unless_it_replaces_the_first(app: TestApp) {
    let acme = app.partner();
    let first = activation_code(&acme, "ada").await;
    let refused = acme.post(ACTIVATION_CODES, activation_wish("ada")).await;
    refused.assert_error(
        409,
        "conflict",
        "the person has a live activation code; end it with invalidate_existing_code",
    );
    // Another person's code does not matter.
    activation_code(&acme, "bob").await;

    let mut wish = activation_wish("ada");
    wish["invalidate_existing_code"] = true.into();
    let second = acme.post(ACTIVATION_CODES, wish).await.assert_status(201).json();
    assert_ne!(second["code"], json!(first.code));
    let ended = acme.get(&first.path()).await.assert_status(200).json();
    assert_eq!((ended.get("code"), &ended["expires_at"]), (None, &second["created_at"]));

    let query = format!("{ACTIVATION_CODES}?invalidate_existing_code=true");
    acme.post(&query, activation_wish("ada")).await.assert_status(201);
    let query = format!("{ACTIVATION_CODES}?invalidate_existing_code=false");
    acme.post(&query, activation_wish("ada")).await.assert_status(409);
    let query = format!("{ACTIVATION_CODES}?invalidate_existing_code=yes");
    let faults = [("invalidate_existing_code", "must be true or false")];
    acme.post(&query, activation_wish("ada")).await.assert_faults(&faults);
}

async fn a_deleted_code_has_expired_and_shows_no_code(app: TestApp) {
    let acme = app.partner();
    let letter = activation_code(&acme, "ada").await;
    app.advance(TimeDelta::minutes(1));
    let deleted = acme.delete(&letter.path()).await.assert_status(200).json();
    assert_eq!(deleted.get("code"), None);
    assert_eq!(instant(&deleted["expires_at"]) - instant(&deleted["created_at"]), TimeDelta::minutes(1));
    // Deleting it again changes nothing.
    app.advance(TimeDelta::minutes(1));
    assert_eq!(acme.delete(&letter.path()).await.assert_status(200).json(), deleted);
    assert_eq!(acme.get(&letter.path()).await.assert_status(200).json(), deleted);
    activation_code(&acme, "ada").await;
}

async fn invalid_values_are_refused_together(app: TestApp) {
    let acme = app.partner();
    let wish = json!({"person_id": "a b", "origin": "FAX", "purpose": "web", "invalidate_existing_code": "yes"});
    acme.post(ACTIVATION_CODES, wish).await.assert_faults(&[
        ("person_id", "must be visible ASCII characters"),
        ("origin", "must be one of: MOBILE_APP, WEB, WEBUI"),
        ("purpose", "must be one of: DEVICE_BINDING"),
        ("delivery_method", "is required"),
        ("invalidate_existing_code", "must be a boolean, not a string"),
    ]);
}

async fn a_code_is_neither_stored_nor_kept_for_an_idempotency_key(app: TestApp) {
    let acme = app.partner();
    let send = async || {
        let request = Request::post(ACTIVATION_CODES).header("idempotency-key", "letter-1");
        acme.request(request.body(Body::from(activation_wish("ada").to_string())).unwrap()).await
    };
    let first = send().await.assert_status(201).json();
    let again = send().await;
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!(again.assert_status(201).json(), first);
    let stored = sql::every_value(&app.database).await;
    assert!(stored.contains("ada"), "the search finds what is stored");
    assert!(!stored.contains(first["code"].as_str().unwrap()), "the code is stored");
}

async fn another_partner_does_not_find_a_code(app: TestApp) {
    let (acme, globex) = (app.partner(), app.other_partner());
    let letter = activation_code(&acme, "ada").await;
    let detail = format!("activation challenge \"{}\" not found", letter.id);
    globex.get(&letter.path()).await.assert_error(404, "not_found", &detail);
    globex.delete(&letter.path()).await.assert_error(404, "not_found", &detail);
    // The same person of another partner is another person.
    activation_code(&globex, "ada").await;
    assert_eq!(acme.get(&letter.path()).await.assert_status(200).json()["code"], json!(letter.code));
}
