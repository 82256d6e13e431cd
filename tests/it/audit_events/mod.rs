//! Every change and every refused attempt leaves one event, in the commit of the change.

use chrono::TimeDelta;
use device_management::domain::client::Permissions;
use serde_json::json;

use crate::harness::{NUMBER, Network, Phone, TestApp, books, on_both_databases, sql};

on_both_databases![
    each_change_leaves_one_event,
    each_refusal_leaves_one_event,
    what_is_no_attempt_leaves_none,
    events_name_who_whom_and_what,
    events_hold_no_secret,
];

const DEVICES: &str = "/v1/mfa/devices";

/// `action outcome` of every event since the last call, sorted.
async fn new_events(app: &TestApp) -> Vec<String> {
    let url = app.database.url();
    let events = sql::texts(url, "select action || ' ' || outcome from audit_pending order by 1").await;
    sql::execute(url, "delete from audit_pending").await;
    events
}

async fn each_change_leaves_one_event(app: TestApp) {
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

async fn each_refusal_leaves_one_event(app: TestApp) {
    let (acme, phone) = (app.partner(), Phone::new(1));
    let number = "/v1/persons/ada/mobile_number";
    let wish =
        |person: &str, seed| json!({"person_id": person, "key_type": "ecdsa-p256", "key": Phone::new(seed).key()});
    let clerk = app.client("acme", Permissions::default());
    clerk.post(number, json!({"number": NUMBER, "verified": true})).await.assert_status(403);
    acme.post(DEVICES, wish("ada", 1)).await.assert_status(400);
    acme.post(&format!("{number}/authorize"), json!({"number": NUMBER})).await.assert_status(404);
    acme.verified_person("ada").await;
    acme.post(number, json!({"number": NUMBER})).await.assert_status(409);
    acme.post(&format!("{number}/confirm"), json!({"number": NUMBER, "token": "000000"})).await.assert_status(403);
    let expected = [
        "binding.asked no_verified_number",
        "number.asserted accepted",
        "number.asserted may_not_assert",
        "number.code_asked not_found",
        "number.confirmed wrong",
        "number.created exists",
    ];
    assert_eq!(new_events(&app).await, expected);

    let device = acme.bind("ada", &phone).await.id;
    acme.post(DEVICES, wish("ada", 1)).await.assert_status(409);
    app.network(Network::IsDown);
    acme.post(DEVICES, wish("ada", 2)).await.assert_status(502);
    app.network(Network::Works);
    let asked = acme.ask_for_device("ada", &Phone::new(2)).await.id;
    acme.answer(&asked, &Phone::new(2).sign("wrong")).await.assert_status(403);
    acme.post(&format!("{DEVICES}/{device}/keys"), Phone::new(3).vouch_for(&Phone::new(4))).await.assert_status(403);
    app.advance(TimeDelta::minutes(5));
    app.partner().answer(&asked, &Phone::new(2).sign("late")).await.assert_status(404);
    let expected = [
        "binding.answered accepted",
        "binding.answered not_open",
        "binding.answered wrong",
        "binding.asked accepted",
        "binding.asked accepted",
        "binding.asked accepted",
        "binding.asked key_taken",
        "binding.asked sms_not_taken",
        "key.added wrong",
    ];
    assert_eq!(new_events(&app).await, expected);
}

async fn what_is_no_attempt_leaves_none(app: TestApp) {
    let acme = app.partner();
    acme.post(DEVICES, json!({})).await.assert_status(400);
    acme.get(DEVICES).await.assert_status(200);
    app.stranger().post(DEVICES, json!({})).await.assert_status(401);
    assert_eq!(new_events(&app).await, Vec::<String>::new());
}

async fn events_name_who_whom_and_what(app: TestApp) {
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

async fn events_hold_no_secret(app: TestApp) {
    let (acme, phone) = (app.partner(), Phone::new(1));
    acme.verified_person("ada").await;
    acme.bind("ada", &phone).await;
    let code = app.outbox().last().code();
    let texts = "select client_id || ' ' || action || ' ' || outcome || ' ' || person_id from audit_pending";
    for event in sql::texts(app.database.url(), texts).await {
        for needle in [NUMBER, &code, &phone.key()] {
            assert!(!event.contains(needle), "{event}");
        }
    }
}
