//! Final answers (`docs/errors.md`) are those whose request changed something. Any other refusal releases the key, also
//! for another body. There is one case for each row of the table of errors.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::{HeaderName, Request};
use chrono::TimeDelta;
use device_management::domain::clients::Permissions;
use serde_json::{Value, json};

use super::{DEVICES, assert_replays, request_body, send};
use crate::fraud_flow::{PAYLOAD, Seon};
use crate::harness::contract::CONTRACT;
use crate::harness::fault::{Moment, Plan};
use crate::harness::{Answer, Broken, Engine, NUMBER, Network, Phone, TestApp, TestClient, on_both_databases, sql};

on_both_databases![
    a_refusal_that_changed_nothing_releases_the_key,
    a_refusal_that_counted_a_failure_or_closed_a_challenge_is_replayed,
    the_204_to_a_repeated_right_answer_is_replayed,
    a_panic_releases_the_key,
];

/// Refusals before the key is read, or because of the key.
const BEFORE_THE_KEY: [&str; 6] = [
    "token_required",
    "invalid_token",
    "method_not_allowed",
    "payload_too_large",
    "unsupported_media_type",
    "idempotency_key_reused",
];

const OTHER_NUMBER: &str = "+4915112345679";

/// Refusals that must release their key, and the error codes seen so far.
struct Freed<'a> {
    app: &'a TestApp,
    seen: BTreeSet<String>,
}

impl Freed<'_> {
    /// Asserts that a refusal released its key: the same request is served now.
    async fn again(&mut self, refused: Answer, code: &str, client: &TestClient, call: (&str, &str), body: &Value) {
        self.refused(&refused, code);
        let served = send(client, code, call.0, call.1, body).await;
        assert!(served.status.is_success(), "{code}: {}", String::from_utf8_lossy(&served.body));
        assert_eq!(served.headers.get("idempotency-replayed"), None, "{code}");
        // From now on the answer is final.
        assert_replays(&served, &send(client, code, call.0, call.1, body).await);
        send(client, code, call.0, call.1, &json!({"other": true})).await.assert_status(422);
    }

    fn refused(&mut self, refused: &Answer, code: &str) {
        assert!(refused.status.is_client_error() || refused.status.is_server_error(), "{code}: {}", refused.status);
        assert_eq!(refused.json()["errors"][0]["code"], code, "{}", refused.json());
        assert_eq!(refused.headers.get("idempotency-replayed"), None, "{code}");
        self.seen.insert(code.to_owned());
    }

    /// Creates a person for one case; returns the body of a request for a device.
    async fn person(&self, name: &str) -> Value {
        self.app.partner().verified_person(name).await;
        request_body(name, &phone_of(name))
    }
}

/// The phone of a case's person.
fn phone_of(person: &str) -> Phone {
    Phone::new(person.bytes().map(u32::from).sum())
}

async fn a_refusal_that_changed_nothing_releases_the_key(app: TestApp) {
    let acme = app.partner();
    let mut freed = Freed { app: &app, seen: BTreeSet::new() };
    bodies(&app, &acme, &mut freed).await;
    states(&app, &acme, &mut freed).await;
    failures(&app, &acme, &mut freed).await;

    freed.seen.extend(BEFORE_THE_KEY.map(str::to_owned));
    let table: BTreeSet<String> = CONTRACT.error_table().iter().map(|row| row.code.clone()).collect();
    assert_eq!(freed.seen, table, "every row of the table has a case");
}

/// Refusals of a malformed request, after which a valid body is served under the same key.
async fn bodies(app: &TestApp, acme: &TestClient, freed: &mut Freed<'_>) {
    let good = freed.person("bodies").await;
    let raw = Request::post(DEVICES).header("idempotency-key", "invalid_json").body(Body::from("{")).unwrap();
    let refused = acme.request(raw).await;
    freed.again(refused, "invalid_json", acme, ("POST", DEVICES), &good).await;
    for (code, bad) in [("type_error", json!({"person_id": 1})), ("validation_error", json!({}))] {
        let refused = send(acme, code, "POST", DEVICES, &bad).await;
        freed.again(refused, code, acme, ("POST", DEVICES), &good).await;
    }
    // Refused before the key is read.
    let requests = [
        ("payload_too_large", acme.clone(), None, vec![b' '; 512 * 1024 + 1]),
        ("unsupported_media_type", acme.clone(), Some(("content-type", "text/plain")), b"{}".to_vec()),
        ("token_required", app.stranger(), None, b"{}".to_vec()),
        ("invalid_token", app.with_token(Some("x.y.z")), None, b"{}".to_vec()),
    ];
    for (code, client, header, body) in requests {
        let mut request = Request::post(DEVICES).header("idempotency-key", code).body(Body::from(body)).unwrap();
        if let Some((name, value)) = header {
            request.headers_mut().insert(HeaderName::from_static(name), value.parse().unwrap());
        }
        let refused = client.request(request).await;
        freed.again(refused, code, acme, ("POST", DEVICES), &good).await;
    }
}

/// Refusals because of stored state, after another request has changed that state.
async fn states(app: &TestApp, acme: &TestClient, freed: &mut Freed<'_>) {
    let call = ("POST", DEVICES);
    let good = freed.person("state").await;
    let number = "/v1/persons/state/mobile_number";
    acme.delete(number).await.assert_status(200);
    let refused = send(acme, "validation_error", "POST", number, &json!({"number": "+1"})).await;
    freed.again(refused, "validation_error", acme, ("POST", number), &json!({"number": NUMBER})).await;

    let authorize = format!("{number}/authorize");
    let other = json!({"number": OTHER_NUMBER});
    let refused = send(acme, "model_not_found", "POST", &authorize, &other).await;
    acme.delete(number).await.assert_status(200);
    acme.post(number, json!({"number": OTHER_NUMBER, "verified": true})).await.assert_status(201);
    freed.again(refused, "model_not_found", acme, ("POST", &authorize), &other).await;
    let refused = send(acme, "mobile_number_exists", "POST", number, &other).await;
    acme.delete(number).await.assert_status(200);
    freed.again(refused, "mobile_number_exists", acme, ("POST", number), &other).await;

    // No code was sent, so the wrong code is not counted.
    let confirm = format!("{number}/confirm");
    let refused =
        send(acme, "invalid_tan", "POST", &confirm, &json!({"number": OTHER_NUMBER, "token": "000000"})).await;
    acme.post(&authorize, other.clone()).await.assert_status(201);
    let right = json!({"number": OTHER_NUMBER, "token": app.outbox().last().code()});
    freed.again(refused, "invalid_tan", acme, ("POST", &confirm), &right).await;

    let assert = json!({"number": NUMBER, "verified": true});
    let clerk = app.client("acme", Permissions::default());
    let refused = send(&clerk, "unauthorized_action", "POST", "/v1/persons/asserted/mobile_number", &assert).await;
    freed.again(refused, "unauthorized_action", acme, ("POST", "/v1/persons/asserted/mobile_number"), &assert).await;

    let few = acme.through(app.replica(&[("LIMIT_DEVICES_PER_PERSON", "1"), ("LIMIT_KEYS_PER_DEVICE", "1")]).await);
    let phone = phone_of("state");
    let device = acme.ask_for_device("state", &phone).await.id;
    let keys = format!("{DEVICES}/{device}/keys");
    let mut vouched = phone.vouch_for(&Phone::new(90));
    let refused = send(acme, "not_found", "POST", &keys, &vouched).await;
    acme.answer(&device, &phone.sign(&app.outbox().last().code())).await.assert_status(204);
    freed.again(refused, "not_found", acme, ("POST", &keys), &vouched).await;
    vouched = phone.vouch_for(&Phone::new(91));
    let refused = send(&few, "key_limit_exceeded", "POST", &keys, &vouched).await;
    freed.again(refused, "key_limit_exceeded", acme, ("POST", &keys), &vouched).await;

    let another = request_body("state", &Phone::new(92));
    let refused = send(&few, "device_limit_exceeded", "POST", DEVICES, &another).await;
    freed.again(refused, "device_limit_exceeded", acme, call, &another).await;
    let refused = send(acme, "key_already_registered", "POST", DEVICES, &good).await;
    acme.delete(&format!("{DEVICES}/{device}")).await.assert_status(204);
    freed.again(refused, "key_already_registered", acme, call, &good).await;

    let limited = acme.through(app.replica(&[("SMS_LIMITS", "enforce")]).await);
    let good = freed.person("hasty").await;
    limited.post(DEVICES, good.clone()).await.assert_status(202);
    let refused = send(&limited, "too_many_requests", "POST", DEVICES, &good).await;
    assert_eq!(refused.headers["retry-after"], "30");
    app.advance(TimeDelta::seconds(30));
    freed.again(refused, "too_many_requests", &limited, call, &good).await;
}

/// Failures on the service's side, after they have ended.
async fn failures(app: &TestApp, acme: &TestClient, freed: &mut Freed<'_>) {
    let (call, url) = (("POST", DEVICES), app.database.url());
    let good = freed.person("failed").await;
    app.network(Network::IsDown);
    let refused = send(acme, "bad_gateway", "POST", DEVICES, &good).await;
    app.network(Network::Works);
    freed.again(refused, "bad_gateway", acme, call, &good).await;

    sql::execute(url, "alter table mobile_number rename to elsewhere").await;
    let refused = send(acme, "generic_error", "POST", DEVICES, &good).await;
    sql::execute(url, "alter table elsewhere rename to mobile_number").await;
    freed.again(refused, "generic_error", acme, call, &good).await;

    // The first call of the store is the claim, the second reads the person.
    let plan = Plan::default();
    let broken = acme.through(app.replica_with_broken_store(&plan).await);
    plan.break_after(1, Moment::Before);
    let refused = send(&broken, "service_unavailable", "POST", DEVICES, &good).await;
    assert!(!plan.mend(), "the planned fault happened");
    freed.again(refused, "service_unavailable", acme, call, &good).await;

    // Every insert into sms_sent has no effect, as if another request of the person always won the race.
    let (overtake, restore) = match app.database.engine() {
        Engine::Sqlite => (
            "create trigger overtaken before insert on sms_sent begin select raise(ignore); end",
            "drop trigger overtaken",
        ),
        Engine::Postgres | Engine::Distributed | Engine::Citus => (
            "create function overtaken() returns trigger language plpgsql as 'begin return null; end';
             create trigger overtaken before insert on sms_sent for each row execute function overtaken()",
            "drop trigger overtaken on sms_sent",
        ),
    };
    app.advance(TimeDelta::minutes(1));
    let limited = acme.through(app.replica(&[("SMS_LIMITS", "enforce")]).await);
    sql::execute(url, overtake).await;
    let refused = send(&limited, "conflict", "POST", DEVICES, &good).await;
    assert_eq!(refused.headers["retry-after"], "1");
    sql::execute(url, restore).await;
    freed.again(refused, "conflict", acme, call, &good).await;
}

/// Asserts that a refusal is final: the request is replayed after its reason has gone, and another body gets 422.
async fn assert_final(
    first: &Answer,
    (status, code): (u16, &str),
    client: &TestClient,
    call: (&str, &str),
    body: &Value,
) {
    first.assert_status(status);
    assert_eq!(first.json()["errors"][0]["code"], code);
    assert_replays(first, &send(client, "final", call.0, call.1, body).await);
    send(client, "final", call.0, call.1, &json!({"other": true})).await.assert_status(422);
}

fn challenge(id: &str) -> String {
    format!("/v1/mfa/challenges/signatures/{id}")
}

async fn a_refusal_that_counted_a_failure_or_closed_a_challenge_is_replayed(app: TestApp) {
    let acme = app.partner();
    for person in ["ada", "bob"] {
        acme.verified_person(person).await;
    }
    let phone = Phone::new(1);
    let bound = acme.bind("ada", &phone).await.id;
    let code = |app: &TestApp| app.outbox().last().code();

    let keys = format!("{DEVICES}/{bound}/keys");
    let mut wrong = phone.vouch_for(&Phone::new(2));
    wrong["device_signature"]["signature"] = json!(phone.sign("wrong"));
    let first = send(&acme, "final", "POST", &keys, &wrong).await;
    assert_final(&first, (403, "invalid_tan"), &acme, ("POST", &keys), &wrong).await;

    let number = "/v1/persons/ada/mobile_number";
    acme.post(&format!("{number}/authorize"), json!({"number": NUMBER})).await.assert_status(201);
    let token = if code(&app) == "000000" { "000001" } else { "000000" };
    let (confirm, wrong) = (format!("{number}/confirm"), json!({"number": NUMBER, "token": token}));
    let first = send(&acme, "final", "POST", &confirm, &wrong).await;
    acme.post(&confirm, json!({"number": NUMBER, "token": code(&app)})).await.assert_status(201);
    assert_final(&first, (403, "invalid_tan"), &acme, ("POST", &confirm), &wrong).await;

    let path = challenge(&acme.ask_for_device("ada", &Phone::new(3)).await.id);
    let wrong = json!({"signature": phone.sign("wrong")});
    let first = send(&acme, "final", "PUT", &path, &wrong).await;
    acme.put(&path, json!({"signature": Phone::new(3).sign(&code(&app))})).await.assert_status(204);
    assert_final(&first, (403, "invalid_tan"), &acme, ("PUT", &path), &wrong).await;

    // Refusals that close the challenge: the fraud check declines, the limit is reached, another device has the key.
    let seon = Seon::that_says("DECLINE").await;
    let url = seon.uri();
    let settings = [("SEON_API_KEY", "a-licence"), ("SEON_BASE_URL", url.as_str()), ("SEON_POLICY", "enforce")];
    let path = challenge(&acme.ask_for_device("ada", &Phone::new(4)).await.id);
    let right = json!({"signature": Phone::new(4).sign(&code(&app)), "device_data": PAYLOAD});
    let guarded = acme.through(app.replica(&settings).await);
    let first = send(&guarded, "final", "PUT", &path, &right).await;
    assert_final(&first, (403, "unauthorized_action"), &acme, ("PUT", &path), &right).await;

    let path = challenge(&acme.ask_for_device("ada", &Phone::new(5)).await.id);
    let right = json!({"signature": Phone::new(5).sign(&code(&app))});
    let few = acme.through(app.replica(&[("LIMIT_DEVICES_PER_PERSON", "1")]).await);
    let first = send(&few, "final", "PUT", &path, &right).await;
    assert_final(&first, (409, "device_limit_exceeded"), &acme, ("PUT", &path), &right).await;

    let path = challenge(&acme.ask_for_device("ada", &Phone::new(6)).await.id);
    let right = json!({"signature": Phone::new(6).sign(&code(&app))});
    let others = acme.bind("bob", &Phone::new(6)).await.id;
    let first = send(&acme, "final", "PUT", &path, &right).await;
    acme.delete(&format!("{DEVICES}/{others}")).await.assert_status(204);
    assert_final(&first, (409, "key_already_registered"), &acme, ("PUT", &path), &right).await;
}

/// The right signature is sent again under an idempotency key: a 204 without an effect, which is final too.
async fn the_204_to_a_repeated_right_answer_is_replayed(app: TestApp) {
    let (acme, phone) = (app.partner(), Phone::new(1));
    acme.verified_person("ada").await;
    let path = challenge(&acme.bind("ada", &phone).await.id);
    let right = json!({"signature": phone.sign(&app.outbox().last().code())});
    let first = send(&acme, "key", "PUT", &path, &right).await;
    first.assert_status(204);
    app.advance(TimeDelta::minutes(2));
    acme.put(&path, right.clone()).await.assert_status(404);
    assert_replays(&first, &send(&acme, "key", "PUT", &path, &right).await);
}

/// The panic happens after the commit, when the SMS may have been taken: the committed outcome is replayed.
async fn a_panic_releases_the_key(app: TestApp) {
    let acme = app.partner();
    let request_body = Freed { app: &app, seen: BTreeSet::new() }.person("ada").await;
    let broken = acme.through(app.broken_replica(Broken::SmsSender, &[]).await);
    send(&broken, "key", "POST", DEVICES, &request_body).await.assert_status(500);
    let again = send(&acme, "key", "POST", DEVICES, &request_body).await;
    assert_eq!(again.assert_status(202).headers["idempotency-replayed"], "true");
    assert_eq!(app.outbox().messages().len(), 0);
}
