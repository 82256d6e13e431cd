//! Only numbers of the operator's countries are accepted (docs/api-design.md#limits).

use serde_json::json;

use super::{OTHER_NUMBER, give_number, path};
use crate::harness::{Engine, NUMBER, Phone, Start, TestApp, on_both_databases};

on_both_databases![
    a_number_of_a_country_that_is_not_served_is_refused,
    a_country_can_be_removed_from_the_list_later,
    any_country_may_be_served,
];

const TO_AUSTRIA: &str = "is of the country AT, to which no SMS are sent";

/// A service that accepts numbers of any country.
struct Everywhere(TestApp);

impl Start for Everywhere {
    async fn start(engine: Engine) -> Self {
        Self(TestApp::with(engine, &[("SMS_COUNTRIES", "any")]).await)
    }
}

async fn a_number_of_a_country_that_is_not_served_is_refused(app: TestApp) {
    let acme = app.partner();
    for (number, complaint) in [
        ("+16502530000", "is of the country US, to which no SMS are sent"),
        ("+447781123456", "is of the country GG, to which no SMS are sent"),
        ("+77710009998", "is of the country KZ, to which no SMS are sent"),
        ("+881612345678", "is of a network that belongs to no country, and to which no SMS are sent"),
    ] {
        for verified in [false, true] {
            let answer = acme.post(&path("ada"), json!({"number": number, "verified": verified})).await;
            answer.assert_faults(&[("number", complaint)]).assert_error(400, "validation_error", complaint);
        }
    }
    acme.get(&path("ada")).await.assert_status(404);
    for (person, number) in [("ada", NUMBER), ("bea", OTHER_NUMBER), ("cyd", "+447400123456"), ("dot", "+41781234567")]
    {
        acme.post(&path(person), json!({"number": number})).await.assert_status(201);
    }
}

async fn a_country_can_be_removed_from_the_list_later(Everywhere(app): Everywhere) {
    let acme = app.partner();
    let narrow = acme.through(app.replica(&[("SMS_COUNTRIES", "DE, CH")]).await);
    let given = json!({"number": OTHER_NUMBER, "verified": true});
    acme.post(&path("ada"), given).await.assert_status(201);
    let phone = Phone::new(1);
    let body = json!({"person_id": "ada", "key_type": "ecdsa-p256", "key": phone.key()});
    let number = json!({"number": OTHER_NUMBER});
    narrow.post("/v1/mfa/devices", body.clone()).await.assert_faults(&[("number", TO_AUSTRIA)]);
    let authorize = format!("{}/authorize", path("ada"));
    narrow.post(&authorize, number.clone()).await.assert_faults(&[("number", TO_AUSTRIA)]);
    assert!(app.outbox().messages().is_empty());
    // An existing number can still be read and deleted.
    narrow.get(&path("ada")).await.assert_status(200);
    acme.post("/v1/mfa/devices", body).await.assert_status(202);
    acme.post(&authorize, number.clone()).await.assert_status(201);
    narrow.send("DELETE", &path("ada"), Some(number)).await.assert_status(200);
    give_number(&narrow, "ada").await;
}

async fn any_country_may_be_served(Everywhere(app): Everywhere) {
    let acme = app.partner();
    for (person, number) in [("ada", "+16502530000"), ("bea", "+881612345678")] {
        acme.post(&path(person), json!({"number": number})).await.assert_status(201);
        acme.post(&format!("{}/authorize", path(person)), json!({"number": number})).await.assert_status(201);
        assert_eq!(app.outbox().last().to, number);
    }
}
