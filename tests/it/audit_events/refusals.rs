//! Every refusal of the service: each test provokes some, and finds one audit event for each.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use device_management::domain::clients::Permissions;
use device_management::service::Refusal;
use serde_json::{Value, json};

use super::naming::OPERATOR_REFUSED;
use super::{DEVICES, PAYLOAD, new_events, request_body};
use crate::activation_codes::{activation_code, activation_wish, binding_by_letter, delivery_event};
use crate::harness::faulty_server::{Behaviour, FaultyServer};
use crate::harness::{
    ACTIVATION_CODES, DEVICE_CHALLENGES, NUMBER, Network, Phone, SMS_CHALLENGES, TestApp, on_both_databases, sql,
};
use crate::sms_conversion::{Watched, trip};

on_both_databases![
    a_refused_number_writes_one_event,
    a_refused_binding_writes_one_event,
    a_request_for_an_unknown_object_writes_one_event,
    an_exceeded_limit_or_a_taken_key_writes_one_event,
    a_country_that_is_not_served_writes_one_event,
    a_country_with_stopped_sending_writes_one_event,
    an_exceeded_sms_limit_writes_one_event,
    a_request_during_the_cool_down_writes_one_event,
    a_declined_device_writes_one_event,
    a_refused_device_challenge_writes_one_event,
    a_refused_sms_challenge_writes_one_event,
    a_refused_activation_code_writes_one_event,
];

const NUMBER_REFUSED: [&str; 8] = [
    "number.asserted accepted",
    "number.asserted exists",
    "number.asserted may_not_assert",
    // The challenge was opened, and removed when no provider took the message.
    "number.code_asked accepted",
    "number.code_asked sms_not_taken",
    "number.confirmed wrong",
    "number.confirmed wrong",
    "number.created exists",
];
const BINDING_REFUSED: [&str; 10] = [
    "binding.answered accepted",
    "binding.answered not_open",
    "binding.answered wrong",
    "binding.asked accepted",
    "binding.asked accepted",
    "binding.asked accepted",
    "binding.asked key_taken",
    "binding.asked no_verified_number",
    "binding.asked sms_not_taken",
    "key.added wrong",
];
const NOT_THERE: [&str; 8] = [
    "device.deleted accepted",
    "device.deleted not_found",
    "device.deleted not_found",
    "device.deleted not_found",
    "key.added not_found",
    "number.code_asked not_found",
    "number.confirmed not_found",
    "number.deleted not_found",
];
const NO_ROOM: [&str; 8] = [
    "binding.answered device_limit",
    "binding.answered key_taken",
    "binding.asked device_limit",
    "binding.asked device_limit",
    "binding.asked key_taken",
    "key.added key_limit",
    "key.added key_taken",
    "key.added no_key_of_purpose",
];
const DEVICE_CHALLENGE_REFUSED: [&str; 8] = [
    "device_challenge.answered accepted",
    "device_challenge.answered approval_differs",
    "device_challenge.answered not_open",
    "device_challenge.answered wrong",
    "device_challenge.asked no_key_of_purpose",
    "device_challenge.asked no_key_of_purpose",
    "device_challenge.asked not_found",
    "device_challenge.asked open_challenges",
];
const SMS_CHALLENGE_REFUSED: [&str; 8] = [
    "sms_challenge.answered accepted",
    "sms_challenge.answered not_open",
    "sms_challenge.answered wrong",
    "sms_challenge.asked accepted",
    "sms_challenge.asked accepted",
    "sms_challenge.asked country_not_served",
    "sms_challenge.asked no_verified_number",
    "sms_challenge.asked sms_not_taken",
];
const ACTIVATION_REFUSED: [&str; 8] = [
    "activation_code.asked accepted",
    "activation_code.asked exists",
    "activation_code.deleted accepted",
    "activation_code.deleted not_found",
    "activation_code.delivery_reported accepted",
    "activation_code.delivery_reported delivery_event_limit",
    "activation_code.delivery_reported not_found",
    "binding.asked no_activation_code",
];
const NOT_SERVED: [&str; 4] = [
    "binding.asked country_not_served",
    "number.asserted country_not_served",
    "number.code_asked country_not_served",
    "number.created country_not_served",
];
const SENDING_STOPPED: [&str; 3] =
    ["binding.asked sending_stopped", "number.code_asked sending_stopped", "sms_challenge.asked sending_stopped"];
const TOO_MANY_MESSAGES: [&str; 3] =
    ["binding.asked sms_limit", "number.code_asked sms_limit", "sms_challenge.asked sms_limit"];
const COOLING_OFF: [&str; 10] = [
    "binding.answered cooling_off",
    "binding.asked cooling_off",
    "binding.asked cooling_off",
    "device_challenge.answered cooling_off",
    "device_challenge.asked cooling_off",
    "key.added cooling_off",
    "number.code_asked cooling_off",
    "number.confirmed cooling_off",
    "sms_challenge.answered cooling_off",
    "sms_challenge.asked cooling_off",
];
const DECLINED: [&str; 7] = [
    "binding.answered declined",
    "binding.asked declined",
    "binding.asked declined",
    "device_challenge.answered declined",
    "device_challenge.asked declined",
    "key.added declined",
    "sms_challenge.asked declined",
];

/// Outcomes that are never recorded: malformed requests, and repetitions of another request.
const UNRECORDED: [&str; 3] = ["malformed", "still_running", "idempotency_key_reused"];

/// The refusals of challenges in docs/errors.md, except those in `UNRECORDED`.
const OF_CHALLENGES: [(&str, &[&str]); 9] = [
    ("device_challenge.asked", &["not_found", "no_key_of_purpose", "cooling_off", "open_challenges", "declined"]),
    ("device_challenge.answered", &["not_open", "cooling_off", "approval_differs", "wrong", "declined"]),
    (
        "sms_challenge.asked",
        &[
            "no_verified_number",
            "country_not_served",
            "cooling_off",
            "sending_stopped",
            "sms_limit",
            "declined",
            "sms_not_taken",
        ],
    ),
    ("sms_challenge.answered", &["not_open", "cooling_off", "wrong"]),
    ("activation_code.asked", &["exists"]),
    ("activation_code.deleted", &["not_found"]),
    ("activation_code.delivery_reported", &["not_found", "delivery_event_limit"]),
    ("binding.asked", &["no_activation_code", "device_limit", "key_taken", "cooling_off", "declined"]),
    ("binding.answered", &["not_open", "cooling_off", "wrong", "declined", "device_limit", "key_taken"]),
];

fn provoked() -> BTreeSet<&'static str> {
    let provoked = [
        &NUMBER_REFUSED[..],
        &BINDING_REFUSED,
        &NOT_THERE,
        &NO_ROOM,
        &DEVICE_CHALLENGE_REFUSED,
        &SMS_CHALLENGE_REFUSED,
        &ACTIVATION_REFUSED,
        &NOT_SERVED,
        &SENDING_STOPPED,
        &TOO_MANY_MESSAGES,
        &COOLING_OFF,
        &DECLINED,
        &OPERATOR_REFUSED,
    ];
    provoked.concat().into_iter().collect()
}

#[test]
fn every_refusal_is_provoked() {
    let provoked = provoked();
    // `revoked` is the outcome when the operator revokes a revoked client, which is not a `Refusal`.
    for word in Refusal::OUTCOMES.iter().chain(&["revoked"]).filter(|word| !UNRECORDED.contains(word)) {
        let is_provoked = provoked.iter().any(|event| event.ends_with(&format!(" {word}")));
        assert!(is_provoked, "no test provokes {word:?}");
    }
}

#[test]
fn every_refusal_of_each_kind_of_challenge_is_provoked() {
    let provoked = provoked();
    for (action, words) in OF_CHALLENGES {
        for word in words {
            assert!(provoked.contains(&*format!("{action} {word}")), "no test provokes {action} {word}");
        }
    }
}

async fn a_refused_number_writes_one_event(app: TestApp) {
    let acme = app.partner();
    let number = "/v1/persons/ada/mobile_number";
    let (given, asserted) = (json!({"number": NUMBER}), json!({"number": NUMBER, "verified": true}));
    let clerk = app.client("acme", Permissions::default());
    clerk.post(number, asserted.clone()).await.assert_status(403);
    acme.post(number, asserted.clone()).await.assert_status(201);
    acme.post(number, asserted).await.assert_status(409);
    acme.post(number, given.clone()).await.assert_status(409);
    let token = json!({"number": NUMBER, "token": "000000"});
    // No code was requested; then the SMS failed; then the code is wrong.
    acme.post(&format!("{number}/confirm"), token.clone()).await.assert_status(403);
    app.network(Network::IsDown);
    acme.post(&format!("{number}/authorize"), given.clone()).await.assert_status(502);
    app.network(Network::Works);
    acme.post(&format!("{number}/confirm"), token).await.assert_status(403);
    assert_eq!(new_events(&app).await, NUMBER_REFUSED);
}

async fn a_refused_binding_writes_one_event(app: TestApp) {
    let (acme, phone) = (app.partner(), Phone::new(1));
    acme.verified_person("ada").await;
    new_events(&app).await;
    acme.post(DEVICES, request_body("bob", 1)).await.assert_status(400);
    let device = acme.bind("ada", &phone).await.id;
    acme.post(DEVICES, request_body("ada", 1)).await.assert_status(409);
    app.network(Network::IsDown);
    acme.post(DEVICES, request_body("ada", 2)).await.assert_status(502);
    app.network(Network::Works);
    let asked = acme.ask_for_device("ada", &Phone::new(2)).await.id;
    acme.answer(&asked, &Phone::new(2).sign("wrong")).await.assert_status(403);
    acme.post(&format!("{DEVICES}/{device}/keys"), Phone::new(3).vouch_for(&Phone::new(4))).await.assert_status(403);
    app.advance(TimeDelta::minutes(5));
    app.partner().answer(&asked, &Phone::new(2).sign("late")).await.assert_status(404);
    assert_eq!(new_events(&app).await, BINDING_REFUSED);
}

async fn a_request_for_an_unknown_object_writes_one_event(app: TestApp) {
    let (acme, phone) = (app.partner(), Phone::new(1));
    acme.verified_person("ada").await;
    let device = format!("{DEVICES}/{}", acme.bind("ada", &phone).await.id);
    new_events(&app).await;
    // Another partner's device, an unknown one, and a deleted one.
    app.other_partner().delete(&device).await.assert_status(404);
    acme.delete(&format!("{DEVICES}/{}", uuid::Uuid::nil())).await.assert_status(404);
    let whose = "select partner_id || ' ' || client_id from audit_pending order by 1";
    let expected = ["acme client-of-acme", "globex client-of-globex"];
    assert_eq!(sql::texts(app.database.url(), whose).await, expected);
    acme.delete(&device).await.assert_status(204);
    acme.delete(&device).await.assert_status(404);
    acme.post(&format!("{device}/keys"), phone.vouch_for(&Phone::new(3))).await.assert_status(404);
    let unknown = "/v1/persons/eve/mobile_number";
    acme.delete(unknown).await.assert_status(404);
    acme.post(&format!("{unknown}/authorize"), json!({"number": NUMBER})).await.assert_status(404);
    let token = json!({"number": NUMBER, "token": "000000"});
    acme.post(&format!("{unknown}/confirm"), token).await.assert_status(404);
    assert_eq!(new_events(&app).await, NOT_THERE);
}

async fn an_exceeded_limit_or_a_taken_key_writes_one_event(app: TestApp) {
    let (acme, phone) = (app.partner(), Phone::new(1));
    acme.verified_person("ada").await;
    acme.verified_person("bob").await;
    let full = acme.through(app.replica(&[("LIMIT_DEVICES_PER_PERSON", "1"), ("LIMIT_KEYS_PER_DEVICE", "1")]).await);
    // Requested while the limits allowed it and the key was free.
    let bobs = acme.ask_for_device("bob", &phone).await.id;
    let bobs_answer = phone.sign(&app.outbox().last().code());
    let device = acme.bind("ada", &phone).await.id;
    let keys = format!("{DEVICES}/{device}/keys");
    let adas = acme.ask_for_device("ada", &Phone::new(2)).await.id;
    let adas_answer = Phone::new(2).sign(&app.outbox().last().code());
    activation_code(&acme, "ada").await;
    new_events(&app).await;

    full.answer(&adas, &adas_answer).await.assert_status(409);
    acme.answer(&bobs, &bobs_answer).await.assert_status(409);
    full.post(DEVICES, request_body("ada", 3)).await.assert_status(409);
    full.post(DEVICES, binding_by_letter("ada", &Phone::new(3))).await.assert_status(409);
    acme.post(DEVICES, binding_by_letter("ada", &phone)).await.assert_status(409);
    full.post(&keys, phone.vouch_for(&Phone::new(3))).await.assert_status(409);
    acme.post(&keys, phone.vouch_for(&phone)).await.assert_status(409);
    let mut restricted = phone.vouch_for(&Phone::new(3));
    restricted["device_signature"]["signature_key_purpose"] = json!("restricted");
    acme.post(&keys, restricted).await.assert_status(400);
    assert_eq!(new_events(&app).await, NO_ROOM);
}

async fn a_refused_device_challenge_writes_one_event(app: TestApp) {
    let (acme, phone) = (app.partner(), Phone::new(1));
    acme.verified_person("ada").await;
    let device = acme.bind("ada", &phone).await.id;
    let challenge = acme.challenge(&device).await;
    let full = acme.through(app.replica(&[("LIMIT_OPEN_DEVICE_CHALLENGES", "1")]).await);
    let strict = acme.through(app.replica(&[("APPROVALS_REQUIRE_RESTRICTED_KEYS", "true")]).await);
    new_events(&app).await;
    full.post(DEVICE_CHALLENGES, json!({"device_id": device})).await.assert_status(429);
    let restricted = json!({"device_id": device, "key_purpose": "restricted"});
    acme.post(DEVICE_CHALLENGES, restricted).await.assert_status(400);
    let approval = json!({"device_id": device, "approval": {"action": "card-limit"}});
    strict.post(DEVICE_CHALLENGES, approval).await.assert_status(400);
    acme.post(DEVICE_CHALLENGES, json!({"device_id": uuid::Uuid::nil().to_string()})).await.assert_status(400);
    let differing = json!({"signature": phone.sign(&challenge.text), "approval": {"action": "other"}});
    acme.put(&format!("{DEVICE_CHALLENGES}/{}", challenge.id), differing).await.assert_status(409);
    acme.sign(&challenge.id, &phone.sign("wrong")).await.assert_status(403);
    acme.sign(&challenge.id, &phone.sign(&challenge.text)).await.assert_status(204);
    acme.sign(&challenge.id, &phone.sign("late")).await.assert_status(404);
    assert_eq!(new_events(&app).await, DEVICE_CHALLENGE_REFUSED);
}

async fn a_refused_sms_challenge_writes_one_event(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let narrow = acme.through(app.replica(&[("SMS_COUNTRIES", "AT")]).await);
    new_events(&app).await;
    acme.post(SMS_CHALLENGES, json!({"person_id": "bob"})).await.assert_status(400);
    narrow.post(SMS_CHALLENGES, json!({"person_id": "ada"})).await.assert_status(400);
    // The challenge was opened, and removed when no provider took the message.
    app.network(Network::IsDown);
    acme.post(SMS_CHALLENGES, json!({"person_id": "ada"})).await.assert_status(502);
    app.network(Network::Works);
    let challenge = acme.sms_challenge("ada").await;
    acme.put(&format!("{SMS_CHALLENGES}/{}", challenge.id), json!({"code": "x"})).await.assert_status(400);
    acme.type_code(&challenge.id, &challenge.wrong_code()).await.assert_status(403);
    acme.type_code(&challenge.id, &challenge.code).await.assert_status(204);
    acme.type_code(&challenge.id, &challenge.code).await.assert_status(404);
    assert_eq!(new_events(&app).await, SMS_CHALLENGE_REFUSED);
}

async fn a_refused_activation_code_writes_one_event(app: TestApp) {
    let acme = app.partner();
    let created = acme.post(ACTIVATION_CODES, activation_wish("ada")).await.assert_status(201).json();
    acme.post(ACTIVATION_CODES, activation_wish("ada")).await.assert_status(409);
    let code = format!("{ACTIVATION_CODES}/{}", created["id"].as_str().unwrap());
    let unknown = format!("{ACTIVATION_CODES}/{}", uuid::Uuid::nil());
    for _ in 0..100 {
        acme.post(&format!("{code}/delivery_events"), delivery_event()).await.assert_status(201);
    }
    acme.post(&format!("{code}/delivery_events"), delivery_event()).await.assert_status(409);
    acme.post(&format!("{unknown}/delivery_events"), delivery_event()).await.assert_status(404);
    acme.delete(&code).await.assert_status(200);
    acme.delete(&unknown).await.assert_status(404);
    let mut body = request_body("ada", 1);
    body["challenge_type"] = "activation_code".into();
    acme.post(DEVICES, body).await.assert_status(400);
    let mut events = new_events(&app).await;
    events.dedup();
    assert_eq!(events, ACTIVATION_REFUSED);
}

async fn a_country_that_is_not_served_writes_one_event(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let narrow = acme.through(app.replica(&[("SMS_COUNTRIES", "AT")]).await);
    new_events(&app).await;
    let bobs = "/v1/persons/bob/mobile_number";
    narrow.post(bobs, json!({"number": NUMBER})).await.assert_status(400);
    narrow.post(bobs, json!({"number": NUMBER, "verified": true})).await.assert_status(400);
    narrow.post(DEVICES, request_body("ada", 1)).await.assert_status(400);
    let authorize = "/v1/persons/ada/mobile_number/authorize";
    narrow.post(authorize, json!({"number": NUMBER})).await.assert_status(400);
    assert_eq!(new_events(&app).await, NOT_SERVED);
}

async fn a_country_with_stopped_sending_writes_one_event(Watched(app): Watched) {
    let acme = app.partner();
    trip(&app, &acme, NUMBER).await;
    acme.verified_person("bob").await;
    new_events(&app).await;
    acme.post(DEVICES, request_body("bob", 1)).await.assert_status(429);
    acme.post("/v1/persons/bob/mobile_number/authorize", json!({"number": NUMBER})).await.assert_status(429);
    acme.post(SMS_CHALLENGES, json!({"person_id": "bob"})).await.assert_status(429);
    assert_eq!(new_events(&app).await, SENDING_STOPPED);
}

async fn an_exceeded_sms_limit_writes_one_event(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let limited = acme.through(app.replica(&[("SMS_LIMITS", "enforce")]).await);
    limited.ask_for_device("ada", &Phone::new(1)).await;
    new_events(&app).await;
    limited.post(DEVICES, request_body("ada", 1)).await.assert_status(429);
    limited.post("/v1/persons/ada/mobile_number/authorize", json!({"number": NUMBER})).await.assert_status(429);
    limited.post(SMS_CHALLENGES, json!({"person_id": "ada"})).await.assert_status(429);
    assert_eq!(new_events(&app).await, TOO_MANY_MESSAGES);
}

async fn a_request_during_the_cool_down_writes_one_event(app: TestApp) {
    let (acme, phone) = (app.partner(), Phone::new(1));
    acme.verified_person("ada").await;
    let device = acme.bind("ada", &phone).await.id;
    let keys = format!("{DEVICES}/{device}/keys");
    let (first, second) = (acme.challenge(&device).await, acme.challenge(&device).await);
    activation_code(&acme, "ada").await;
    let asked = acme.ask_for_device("ada", &Phone::new(2)).await.id;
    let sms = acme.sms_challenge("ada").await;
    new_events(&app).await;
    for _ in 0..5 {
        acme.post(&keys, Phone::new(4).vouch_for(&Phone::new(5))).await.assert_status(403);
    }
    assert_eq!(new_events(&app).await, ["key.added wrong"; 5]);
    // Its wrong signatures pause the device.
    for challenge in [&first, &first, &first, &second, &second] {
        acme.sign(&challenge.id, &phone.sign("wrong")).await.assert_status(403);
    }
    assert_eq!(new_events(&app).await, ["device_challenge.answered wrong"; 5]);

    acme.sign(&second.id, &phone.sign(&second.text)).await.assert_status(429);
    acme.post(DEVICE_CHALLENGES, json!({"device_id": device})).await.assert_status(429);
    acme.post(DEVICES, binding_by_letter("ada", &Phone::new(3))).await.assert_status(429);
    acme.post(&keys, phone.vouch_for(&Phone::new(5))).await.assert_status(429);
    acme.post(DEVICES, request_body("ada", 3)).await.assert_status(429);
    acme.answer(&asked, &phone.sign("wrong")).await.assert_status(429);
    let number = "/v1/persons/ada/mobile_number";
    acme.post(&format!("{number}/authorize"), json!({"number": NUMBER})).await.assert_status(429);
    let token = json!({"number": NUMBER, "token": "000000"});
    acme.post(&format!("{number}/confirm"), token).await.assert_status(429);
    acme.post(SMS_CHALLENGES, json!({"person_id": "ada"})).await.assert_status(429);
    acme.type_code(&sms.id, &sms.code).await.assert_status(429);
    assert_eq!(new_events(&app).await, COOLING_OFF);
}

async fn a_declined_device_writes_one_event(app: TestApp) {
    let (acme, phone) = (app.partner(), Phone::new(1));
    acme.verified_person("ada").await;
    // A fraud check that fails, with SEON_ON_ERROR=deny.
    let seon = FaultyServer::start(Behaviour::ResetAfterRequest).await;
    let url = seon.url();
    let settings = [("SEON_API_KEY", "a-licence"), ("SEON_BASE_URL", url.as_str()), ("SEON_ON_ERROR", "deny")];
    let guarded = acme.through(app.replica(&settings).await);
    let with_payload = |mut body: Value| {
        body["device_data"] = json!(PAYLOAD);
        body
    };
    let device = acme.bind("ada", &phone).await.id;
    let asked = acme.ask_for_device("ada", &Phone::new(2)).await.id;
    let answer = json!({"signature": Phone::new(2).sign(&app.outbox().last().code())});
    let opened = acme.challenge(&device).await;
    let approving = json!({"signature": phone.sign(&opened.text)});
    activation_code(&acme, "ada").await;
    new_events(&app).await;

    guarded.post(DEVICES, with_payload(request_body("ada", 3))).await.assert_status(403);
    let challenge = format!("/v1/mfa/challenges/signatures/{asked}");
    guarded.put(&challenge, with_payload(answer)).await.assert_status(403);
    let keys = format!("{DEVICES}/{device}/keys");
    guarded.post(&keys, with_payload(phone.vouch_for(&Phone::new(3)))).await.assert_status(403);
    guarded.post(SMS_CHALLENGES, with_payload(json!({"person_id": "ada"}))).await.assert_status(403);
    guarded.post(DEVICES, with_payload(binding_by_letter("ada", &Phone::new(3)))).await.assert_status(403);
    guarded.post(DEVICE_CHALLENGES, with_payload(json!({"device_id": device}))).await.assert_status(403);
    guarded.put(&format!("{DEVICE_CHALLENGES}/{}", opened.id), with_payload(approving)).await.assert_status(403);
    assert_eq!(new_events(&app).await, DECLINED);
}
