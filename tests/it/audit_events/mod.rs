//! Audit events: every change and every refused attempt writes one event, in the transaction of the change.

mod naming;
mod refusals;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use crate::harness::{NUMBER, Phone, TestApp, books, on_both_databases, sql};

on_both_databases![
    each_change_writes_one_event,
    a_repeated_request_writes_no_second_event,
    reads_and_malformed_or_unauthenticated_requests_write_no_event,
    events_name_client_person_and_object,
    events_contain_no_secret,
];

const DEVICES: &str = "/v1/mfa/devices";
const PAYLOAD: &str = "Web;179ac83968ab42f7;jVl14emA+OcyALb9F+CMFg==;NU7aFh0jdzM15wj8hQtqbA5LbzEFWDI1bUwZf";

fn request_body(person: &str, seed: u32) -> Value {
    json!({"person_id": person, "key_type": "ecdsa-p256", "key": Phone::new(seed).key()})
}

/// `action outcome` of every event since the last call, sorted. Also asserts which events name a person and an object.
async fn new_events(app: &TestApp) -> Vec<String> {
    let url = app.database.url();
    naming::assert_named(app).await;
    let mut events = sql::texts(url, "select action || ' ' || outcome from audit_pending").await;
    events.sort();
    sql::execute(url, "delete from audit_pending").await;
    events
}

async fn each_change_writes_one_event(app: TestApp) {
    let (acme, phone, second) = (app.partner(), Phone::new(1), Phone::new(2));
    let number = "/v1/persons/ada/mobile_number";
    acme.post(number, json!({"number": NUMBER})).await.assert_status(201);
    acme.post(&format!("{number}/authorize"), json!({"number": NUMBER})).await.assert_status(201);
    let token = json!({"number": NUMBER, "token": app.outbox().last().code()});
    acme.post(&format!("{number}/confirm"), token).await.assert_status(201);
    acme.verified_person("bob").await;
    let expected = [
        "number.asserted accepted",
        "number.code_asked accepted",
        "number.confirmed accepted",
        "number.created accepted",
    ];
    assert_eq!(new_events(&app).await, expected);

    let device = acme.bind("ada", &phone).await.id;
    acme.post(&format!("{DEVICES}/{device}/keys"), phone.vouch_for(&second)).await.assert_status(201);
    acme.delete(&format!("{DEVICES}/{device}")).await.assert_status(204);
    acme.delete(number).await.assert_status(200);
    let expected = [
        "binding.answered accepted",
        "binding.asked accepted",
        "device.deleted accepted",
        "key.added accepted",
        "number.deleted accepted",
    ];
    assert_eq!(new_events(&app).await, expected);
}

async fn reads_and_malformed_or_unauthenticated_requests_write_no_event(app: TestApp) {
    let acme = app.partner();
    acme.post(DEVICES, json!({})).await.assert_status(400);
    acme.get(DEVICES).await.assert_status(200);
    app.stranger().post(DEVICES, json!({})).await.assert_status(401);
    assert_eq!(new_events(&app).await, Vec::<String>::new());
}

async fn events_name_client_person_and_object(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    acme.bind("ada", &Phone::new(1)).await;
    let bound = "select count(*) from audit_pending a
                   join device d on d.device_id = a.object_id
                   join device_key k on k.device_id = d.device_id and k.key_id = a.key_id
                  where a.action in ('binding.asked', 'binding.answered')
                    and a.partner_id = 'acme' and a.client_id = 'client-of-acme' and a.person_id = 'ada'
                    and length(a.person_salt) = 16 and length(a.person_digest) = 32";
    assert_eq!(books::count(&app.database, bound).await, 2);
}

async fn a_repeated_request_writes_no_second_event(app: TestApp) {
    let (acme, phone) = (app.partner(), Phone::new(1));
    acme.verified_person("ada").await;
    let asked = acme.ask_for_device("ada", &phone).await.id;
    let right = phone.sign(&app.outbox().last().code());
    new_events(&app).await;
    for _ in 0..3 {
        acme.answer(&asked, &right).await.assert_status(204);
    }
    assert_eq!(new_events(&app).await, ["binding.answered accepted"]);
    for _ in 0..3 {
        let request = Request::post(DEVICES).header("idempotency-key", "key");
        let request = request.body(Body::from(request_body("ada", 2).to_string())).unwrap();
        acme.request(request).await.assert_status(202);
    }
    assert_eq!(new_events(&app).await, ["binding.asked accepted"]);
}

async fn events_contain_no_secret(app: TestApp) {
    let (acme, phone) = (app.partner(), Phone::new(1));
    acme.post("/v1/persons/ada/mobile_number", json!({"number": NUMBER})).await.assert_status(201);
    acme.post("/v1/persons/ada/mobile_number/authorize", json!({"number": NUMBER})).await.assert_status(201);
    let token = app.outbox().last().code();
    let confirmation = json!({"number": NUMBER, "token": token});
    acme.post("/v1/persons/ada/mobile_number/confirm", confirmation).await.assert_status(201);
    let mut body = request_body("ada", 1);
    body["device_data"] = json!(PAYLOAD);
    body["name"] = json!("Ada's own phone");
    let asked = acme.post(DEVICES, body).await.assert_status(202).json()["id"].as_str().unwrap().to_owned();
    let code = app.outbox().last().code();
    let (wrong, right) = (phone.sign("wrong"), phone.sign(&code));
    acme.answer(&asked, &wrong).await.assert_status(403);
    acme.answer(&asked, &right).await.assert_status(204);

    let events = sql::every_value_in(&app.database, "audit_pending").await;
    assert_eq!(events.lines().count(), 6);
    assert!(events.contains("binding.answered"), "{events}");
    let digits = NUMBER.trim_start_matches('+');
    for secret in [digits, &token, &code, &wrong, &right, &phone.key(), PAYLOAD, "Ada's own phone"] {
        let quoted = format!("'{}'", secret.to_lowercase());
        // Six digits may occur in any id, so a code is searched for in quotes.
        let forms = if secret.len() > 6 { vec![secret.to_lowercase(), hex::encode(secret)] } else { vec![quoted] };
        for form in forms {
            assert!(!events.contains(&form), "{form} in {events}");
        }
    }
}
