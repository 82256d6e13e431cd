//! Deleting a number, which ends the person's open challenges.

use axum::body::Body;
use axum::http::Request;
use serde_json::json;

use super::{NOT_FOUND, OTHER_NUMBER, give_number, is_verified, path};
use crate::harness::{NUMBER, Phone, TestApp, on_both_databases};

on_both_databases![
    a_number_is_deleted_with_or_without_naming_it,
    naming_another_number_deletes_nothing,
    a_body_that_names_no_number_is_refused,
    deleting_the_number_ends_open_binding_challenges,
    deleting_the_number_ends_an_open_code,
];

async fn a_number_is_deleted_with_or_without_naming_it(app: TestApp) {
    let acme = app.partner();
    for body in [None, Some(json!({"number": NUMBER})), Some(json!({"number": "+49 (151) 1234 5678"}))] {
        acme.verified_person("ada").await;
        let before = acme.get(&path("ada")).await.json();
        let deleted = acme.send("DELETE", &path("ada"), body.clone()).await;
        deleted.assert_status(200);
        assert_eq!(deleted.json(), before, "{body:?}");
        acme.get(&path("ada")).await.assert_error(404, "model_not_found", NOT_FOUND);
        acme.send("DELETE", &path("ada"), body).await.assert_error(404, "model_not_found", NOT_FOUND);
    }
    // The next number is unverified.
    give_number(&acme, "ada").await;
    assert!(!is_verified(&acme, "ada").await);
}

async fn naming_another_number_deletes_nothing(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let asked = acme.ask_for_device("ada", &Phone::new(1)).await.id;
    let other = acme.send("DELETE", &path("ada"), Some(json!({"number": OTHER_NUMBER}))).await;
    other.assert_error(404, "model_not_found", NOT_FOUND);
    assert!(is_verified(&acme, "ada").await);
    acme.get(&format!("/v1/mfa/challenges/signatures/{asked}")).await.assert_status(200);
}

async fn a_body_that_names_no_number_is_refused(app: TestApp) {
    let acme = app.partner();
    give_number(&acme, "ada").await;
    for (body, complaint) in [
        (json!({}), "is required"),
        (json!({"number": null}), "is required"),
        (json!({"number": "+49"}), "is not a valid phone number"),
    ] {
        acme.send("DELETE", &path("ada"), Some(body)).await.assert_faults(&[("number", complaint)]);
    }
    for body in ["null", "[]", "{", " "] {
        let request = Request::delete(path("ada")).body(Body::from(body)).unwrap();
        let answer = acme.request(request).await;
        answer.assert_status(400);
        assert_eq!(answer.json()["errors"][0]["code"], "invalid_json", "{body:?}");
    }
    let request = Request::delete(path("ada")).header("content-type", "text/plain");
    let form = acme.request(request.body(Body::from(format!("number={NUMBER}"))).unwrap()).await;
    form.assert_error(415, "unsupported_media_type", "send the body as application/json");
    acme.get(&path("ada")).await.assert_status(200);

    // The media type is ignored without a body.
    let request = Request::delete(path("ada")).header("content-type", "text/plain");
    acme.request(request.body(Body::empty()).unwrap()).await.assert_status(200);
}

async fn deleting_the_number_ends_open_binding_challenges(app: TestApp) {
    let acme = app.partner();
    let (bound, pending) = (Phone::new(1), Phone::new(2));
    acme.verified_person("ada").await;
    acme.verified_person("bob").await;
    let device = acme.bind("ada", &bound).await.id;
    let asked = acme.ask_for_device("ada", &pending).await.id;
    let code = app.outbox().last().code();
    let his = acme.ask_for_device("bob", &Phone::new(3)).await.id;
    acme.delete(&path("ada")).await.assert_status(200);

    // A new number does not reopen the challenge, even if it is the same.
    let gone = format!("signature challenge \"{asked}\" not found");
    for has_a_number_again in [false, true] {
        if has_a_number_again {
            acme.verified_person("ada").await;
        }
        let challenge = acme.get(&format!("/v1/mfa/challenges/signatures/{asked}")).await;
        challenge.assert_error(404, "not_found", &gone);
        acme.answer(&asked, &pending.sign(&code)).await.assert_error(404, "not_found", &gone);
        acme.get(&format!("/v1/mfa/devices/{asked}")).await.assert_status(404);
    }
    // Bound devices, and challenges of other persons with the same number, are not affected.
    acme.get(&format!("/v1/mfa/devices/{device}")).await.assert_status(200);
    acme.get(&format!("/v1/mfa/challenges/signatures/{his}")).await.assert_status(200);
}

async fn deleting_the_number_ends_an_open_code(app: TestApp) {
    let acme = app.partner();
    give_number(&acme, "ada").await;
    acme.post(&format!("{}/authorize", path("ada")), json!({"number": NUMBER})).await.assert_status(201);
    acme.delete(&path("ada")).await.assert_status(200);
    give_number(&acme, "ada").await;

    let old = json!({"number": NUMBER, "token": app.outbox().last().code()});
    let answer = acme.post(&format!("{}/confirm", path("ada")), old).await;
    answer.assert_error(403, "invalid_tan", "the code is wrong or expired");
    assert!(!is_verified(&acme, "ada").await);
}
