//! Creating a person's number, unverified or asserted by the partner as verified.

use device_management::domain::clients::Permissions;
use serde_json::json;

use super::{NOT_FOUND, OTHER_NUMBER, give_number, path};
use crate::harness::sql::texts;
use crate::harness::{NUMBER, TestApp, on_both_databases};

on_both_databases![
    a_number_is_stored_in_e164,
    a_value_that_is_not_a_mobile_number_is_refused,
    a_person_has_one_number,
    a_person_without_a_number_is_not_found,
    a_person_id_may_be_any_visible_ascii,
    the_same_person_id_at_another_partner_is_another_person,
    a_client_with_the_permission_creates_verified_numbers,
    a_client_without_the_permission_cannot_create_verified_numbers,
];

async fn a_number_is_stored_in_e164(app: TestApp) {
    let acme = app.partner();
    let spellings = ["+4915112345678", "+49 151 12345678", "+49-151-1234_5678", "(+49)151/1234.5678"];
    for (index, number) in spellings.into_iter().enumerate() {
        let person = path(&format!("ada-{index}"));
        let created = acme.post(&person, json!({"number": number, "verified": null, "nickname": "mine"})).await;
        created.assert_status(201);
        let expected = json!({"id": created.json()["id"], "number": "+4915112345678", "verified": false});
        assert_eq!(created.json(), expected, "{number}");
        assert_eq!(acme.get(&person).await.assert_status(200).json(), expected, "{number}");
    }
    acme.post(&path("bob"), json!({"number": NUMBER, "verified": false})).await.assert_status(201);
    assert_eq!(acme.get(&path("bob")).await.json()["verified"], false);
    assert!(app.outbox().messages().is_empty(), "no code was requested");
}

async fn a_value_that_is_not_a_mobile_number_is_refused(app: TestApp) {
    let acme = app.partner();
    for (number, complaint) in [
        (json!(null), "is required"),
        (json!(""), "must start with + and a country code"),
        (json!("015112345678"), "must start with + and a country code"),
        (json!("0049 151 12345678"), "must start with + and a country code"),
        (json!(" +4915112345678"), "must not begin or end with white space"),
        (json!("+4915112345678\n"), "must not begin or end with white space"),
        (json!("+49 151 CALL ME"), "may contain only the digits 0 to 9, ASCII spaces and - _ / . ( ) after the +"),
        (json!("+49151\u{0}12345678"), "may contain only the digits 0 to 9, ASCII spaces and - _ / . ( ) after the +"),
        (
            json!("+49\u{a0}151\u{a0}12345678"),
            "may contain only the digits 0 to 9, ASCII spaces and - _ / . ( ) after the +",
        ),
        (json!("+49 30 12345678"), "is not a mobile number"),
        (json!("+39 0331 123456"), "is not a mobile number"),
        (json!("+31 6 12345678 90"), "is not a valid phone number"),
        (
            json!("+49 (0)151 12345678"),
            "must be the international form: leave out the prefix that is dialled only inside the country",
        ),
        (json!("+4915"), "is not a valid phone number"),
        (json!(format!("+49{}15112345678", "-".repeat(64))), "must be at most 64 characters long"),
        (json!(4_915_112_345_678_u64), "must be a string, not a number"),
    ] {
        let answer = acme.post(&path("ada"), json!({"number": number})).await;
        answer.assert_faults(&[("number", complaint)]);
    }
    let mistyped = json!({"number": NUMBER, "verified": "yes"});
    acme.post(&path("ada"), mistyped).await.assert_faults(&[("verified", "must be a boolean, not a string")]);
    acme.get(&path("ada")).await.assert_error(404, "model_not_found", NOT_FOUND);
}

async fn a_person_has_one_number(app: TestApp) {
    let acme = app.partner();
    give_number(&acme, "ada").await;
    let first = acme.get(&path("ada")).await.json();
    for body in
        [json!({"number": NUMBER}), json!({"number": OTHER_NUMBER}), json!({"number": NUMBER, "verified": true})]
    {
        let exists = "the person has a mobile number already; delete it first";
        acme.post(&path("ada"), body).await.assert_error(409, "mobile_number_exists", exists);
    }
    assert_eq!(acme.get(&path("ada")).await.json(), first);
    // Two persons may have the same number.
    give_number(&acme, "bob").await;
}

async fn a_person_without_a_number_is_not_found(app: TestApp) {
    let acme = app.partner();
    let body = json!({"number": NUMBER, "token": "123456"});
    for (method, suffix) in [("GET", ""), ("DELETE", ""), ("POST", "/authorize"), ("POST", "/confirm")] {
        let path = format!("{}{suffix}", path("ada"));
        let answer = acme.send(method, &path, (method == "POST").then(|| body.clone())).await;
        answer.assert_error(404, "model_not_found", NOT_FOUND);
    }
}

async fn a_person_id_may_be_any_visible_ascii(app: TestApp) {
    let acme = app.partner();
    for person in ["a%2Fb", "%3F%23%25", "~!$&'()*+,;=:@", &"x".repeat(64)] {
        give_number(&acme, person).await;
        assert_eq!(acme.get(&path(person)).await.json()["number"], NUMBER);
    }
    for (person, shown) in [("a%20b", "a b"), ("%C3%A4", "ä"), ("a%00", "a"), (&"x".repeat(65), &"x".repeat(64))] {
        let not_found = format!("Couldn't find 'MobileNumber' for id '{shown}'.");
        acme.get(&path(person)).await.assert_error(404, "model_not_found", &not_found);
        let create = acme.post(&path(person), json!({"number": NUMBER})).await;
        create.assert_error(404, "model_not_found", &not_found);
    }
}

async fn the_same_person_id_at_another_partner_is_another_person(app: TestApp) {
    let (acme, globex) = (app.partner(), app.other_partner());
    give_number(&acme, "ada").await;
    let before = acme.get(&path("ada")).await.json();
    let body = json!({"number": NUMBER, "token": "123456"});
    for (method, suffix) in [("GET", ""), ("DELETE", ""), ("DELETE", ""), ("POST", "/authorize"), ("POST", "/confirm")]
    {
        let path = format!("{}{suffix}", path("ada"));
        globex.send(method, &path, (method != "GET").then(|| body.clone())).await.assert_error(
            404,
            "model_not_found",
            NOT_FOUND,
        );
    }
    globex.post(&path("ada"), json!({"number": OTHER_NUMBER})).await.assert_status(201);
    globex.delete(&path("ada")).await.assert_status(200);
    assert_eq!(acme.get(&path("ada")).await.json(), before);
    assert!(app.outbox().messages().is_empty());
}

async fn a_client_with_the_permission_creates_verified_numbers(app: TestApp) {
    let acme = app.partner();
    let created = acme.post(&path("ada"), json!({"number": NUMBER, "verified": true})).await;
    assert_eq!(created.assert_status(201).json()["verified"], true);
    assert_eq!(acme.get(&path("ada")).await.json(), created.json());
    give_number(&acme, "bob").await;

    // The asserting client and the time are stored; both are null for an unverified number.
    let record = "select person_id || ' ' || coalesce(asserted_by, '-') || ' ' || substr(cast(verified_at as text), 1, 10) \
                    from mobile_number where verified_at is not null";
    assert_eq!(texts(app.database.url(), record).await, ["ada client-of-acme 2022-03-18"]);
    let unasserted = "select person_id from mobile_number where asserted_by is null and verified_at is null";
    assert_eq!(texts(app.database.url(), unasserted).await, ["bob"]);
}

async fn a_client_without_the_permission_cannot_create_verified_numbers(app: TestApp) {
    let clerk = app.client("acme", Permissions::default());
    let refused = "creating a number as verified needs the permission `numbers:assert`";
    let assertion = json!({"number": NUMBER, "verified": true});
    clerk.post(&path("ada"), assertion).await.assert_error(403, "unauthorized_action", refused);
    clerk.get(&path("ada")).await.assert_status(404);
    // The client may do everything else.
    give_number(&clerk, "ada").await;
}
