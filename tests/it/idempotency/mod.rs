//! Requests repeated with one `Idempotency-Key` (docs/api-design.md#idempotency-keys): one effect, one SMS, one answer.

mod final_answers;
mod lost_runs;
mod stored_outcomes;

use axum::body::Body;
use axum::http::Request;
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::activation_codes::activation_wish;
use crate::harness::{
    ACTIVATION_CODES, Answer, DEVICE_CHALLENGES, NUMBER, Network, Phone, SMS_CHALLENGES, SmsChallenge, TestApp,
    TestClient, books, on_both_databases_and_citus, sql,
};

on_both_databases_and_citus![
    a_repeated_request_gets_the_same_answer_and_has_no_second_effect,
    a_repeated_wrong_signature_counts_once,
    a_repeated_sms_challenge_and_its_answers_take_effect_once,
    a_repeated_device_challenge_and_its_answers_take_effect_once,
    another_body_under_the_same_key_is_refused,
    another_query_under_the_same_key_is_refused,
    a_repeated_request_gets_409_until_the_first_ends_and_then_its_answer,
    twenty_parallel_requests_on_two_replicas_send_one_sms,
    keys_are_scoped_to_client_method_and_path,
    an_outcome_is_stored_for_a_day,
    a_repeated_request_after_its_retry_after_is_served,
    a_server_error_is_not_stored,
    a_key_is_one_to_255_visible_characters,
    unauthenticated_requests_claim_no_key,
    no_secret_is_stored,
];

const DEVICES: &str = "/v1/mfa/devices";

pub(crate) async fn send(client: &TestClient, key: &str, method: &str, path: &str, body: &Value) -> Answer {
    let request = Request::builder().method(method).uri(path).header("idempotency-key", key);
    client.request(request.body(Body::from(body.to_string())).unwrap()).await
}

fn request_body(person: &str, phone: &Phone) -> Value {
    json!({"person_id": person, "key_type": "ecdsa-p256", "key": phone.key()})
}

fn assert_replays(first: &Answer, second: &Answer) {
    assert_eq!(first.headers.get("idempotency-replayed"), None);
    assert_eq!(second.headers["idempotency-replayed"], "true");
    assert_eq!((second.status, &second.body), (first.status, &first.body));
    assert_eq!(second.headers.get("content-type"), first.headers.get("content-type"));
    assert_eq!(second.headers.get("retry-after"), first.headers.get("retry-after"));
}

/// Sends a request twice, asserts that the second answer is a replay, and returns the first.
async fn twice(client: &TestClient, method: &str, path: &str, body: Value, status: u16) -> Answer {
    let first = send(client, "twice", method, path, &body).await;
    first.assert_status(status);
    assert_replays(&first, &send(client, "twice", method, path, &body).await);
    first
}

async fn a_repeated_request_gets_the_same_answer_and_has_no_second_effect(app: TestApp) {
    let (acme, phone, second) = (app.partner(), Phone::new(1), Phone::new(2));
    let number = "/v1/persons/ada/mobile_number";
    let sent = || app.outbox().messages().len();
    twice(&acme, "POST", number, json!({"number": NUMBER}), 201).await;
    twice(&acme, "POST", &format!("{number}/authorize"), json!({"number": NUMBER}), 201).await;
    assert_eq!(sent(), 1);
    let token = json!({"number": NUMBER, "token": app.outbox().last().code()});
    twice(&acme, "POST", &format!("{number}/confirm"), token, 201).await;

    let asked = twice(&acme, "POST", DEVICES, request_body("ada", &phone), 202).await.json();
    assert_eq!(sent(), 2);
    let id = asked["id"].as_str().unwrap();
    let answer = json!({"signature": phone.sign(&app.outbox().last().code())});
    twice(&acme, "PUT", &format!("/v1/mfa/challenges/signatures/{id}"), answer, 204).await;
    let vouched = json!({"signature_key_purpose": "unrestricted", "signature": phone.sign(&second.key())});
    let new_key = json!({"key": second.key(), "key_type": "ecdsa-p256", "device_signature": vouched});
    twice(&acme, "POST", &format!("{DEVICES}/{id}/keys"), new_key, 201).await;

    for (table, rows) in [("device", 1), ("device_key", 2)] {
        let statement =
            if table == "device" { "select count(*) from device" } else { "select count(*) from device_key" };
        assert_eq!(books::count(&app.database, statement).await, rows, "{table}");
    }
    books::assert_balanced(&app.database).await;
}

async fn a_repeated_wrong_signature_counts_once(app: TestApp) {
    let (acme, phone) = (app.partner(), Phone::new(1));
    acme.verified_person("ada").await;
    let path = format!("/v1/mfa/challenges/signatures/{}", acme.ask_for_device("ada", &phone).await.id);
    let body = json!({"signature": phone.sign("wrong")});
    let first = send(&acme, "key", "PUT", &path, &body).await;
    first.assert_status(403);
    for _ in 0..5 {
        assert_replays(&first, &send(&acme, "key", "PUT", &path, &body).await);
    }
    let counted = "select failures * 10 + binding_wrong_signatures from person";
    assert_eq!(books::count(&app.database, counted).await, 11);
}

async fn a_repeated_sms_challenge_and_its_answers_take_effect_once(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let opened = twice(&acme, "POST", SMS_CHALLENGES, json!({"person_id": "ada"}), 201).await.json();
    assert_eq!(app.outbox().messages().len(), 1);
    let path = format!("{SMS_CHALLENGES}/{}", opened["id"].as_str().unwrap());
    let code = app.outbox().last().code();
    let challenge = SmsChallenge { id: path.clone(), code: code.clone() };
    let wrong = json!({"code": challenge.wrong_code()});
    let first = send(&acme, "wrong", "PUT", &path, &wrong).await;
    first.assert_status(403);
    for _ in 0..5 {
        assert_replays(&first, &send(&acme, "wrong", "PUT", &path, &wrong).await);
    }
    assert_eq!(books::count(&app.database, "select failures from person").await, 1);
    twice(&acme, "PUT", &path, json!({"code": code}), 204).await;
    // The same code under another name is another body.
    send(&acme, "twice", "PUT", &path, &json!({"tan": code})).await.assert_status(422);
    let kept = sql::texts(app.database.url(), "select outcome from idempotent_request").await;
    assert!(kept.iter().all(|outcome| !outcome.contains(&code)), "{kept:?}");
}

async fn a_repeated_device_challenge_and_its_answers_take_effect_once(app: TestApp) {
    let (acme, phone) = (app.partner(), Phone::new(1));
    acme.verified_person("ada").await;
    let device = acme.bind("ada", &phone).await.id;
    let wish = json!({"device_id": device, "approval": {"action": "card-limit"}});
    let opened = twice(&acme, "POST", DEVICE_CHALLENGES, wish, 201).await.json();
    assert_eq!(books::count(&app.database, "select count(*) from device_challenge").await, 1);
    let path = format!("{DEVICE_CHALLENGES}/{}", opened["id"].as_str().unwrap());
    let wrong = json!({"signature": phone.sign("wrong")});
    let first = send(&acme, "wrong", "PUT", &path, &wrong).await;
    first.assert_status(403);
    for _ in 0..5 {
        assert_replays(&first, &send(&acme, "wrong", "PUT", &path, &wrong).await);
    }
    assert_eq!(books::count(&app.database, "select failures from device").await, 1);
    let right = json!({"signature": phone.sign(opened["string_to_sign"].as_str().unwrap())});
    twice(&acme, "PUT", &path, right.clone(), 204).await;
    // Another key: the repeat of the signature is recognised, and its outcome is stored under that key, too.
    let repeated = send(&acme, "another", "PUT", &path, &right).await;
    repeated.assert_status(204);
    app.advance(TimeDelta::minutes(2));
    assert_replays(&repeated, &send(&acme, "another", "PUT", &path, &right).await);
    assert_eq!(acme.put(&path, right).await.status, 404);
}

async fn another_body_under_the_same_key_is_refused(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    send(&acme, "key", "POST", DEVICES, &request_body("ada", &Phone::new(1))).await.assert_status(202);
    let other = send(&acme, "key", "POST", DEVICES, &request_body("ada", &Phone::new(2))).await;
    let detail = "this Idempotency-Key was used for another request; use a new key for each request";
    other.assert_error(422, "idempotency_key_reused", detail);
    assert_eq!(app.outbox().messages().len(), 1);
}

async fn another_query_under_the_same_key_is_refused(app: TestApp) {
    let acme = app.partner();
    let body = activation_wish("ada");
    twice(&acme, "POST", ACTIVATION_CODES, body.clone(), 201).await;
    for value in ["true", "null"] {
        let path = format!("{ACTIVATION_CODES}?invalidate_existing_code={value}");
        send(&acme, "twice", "POST", &path, &body).await.assert_status(422);
    }
}

async fn a_repeated_request_gets_409_until_the_first_ends_and_then_its_answer(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let held = app.outbox().hold();
    let first = {
        let acme = acme.clone();
        tokio::spawn(async move { send(&acme, "key", "POST", DEVICES, &request_body("ada", &Phone::new(1))).await })
    };
    held.reached().await;
    let early = send(&acme, "key", "POST", DEVICES, &request_body("ada", &Phone::new(1))).await;
    early.assert_error(409, "conflict", "the first request with this Idempotency-Key is still running; retry later");
    assert_eq!(early.headers["retry-after"], "60");
    held.release();
    let first = first.await.unwrap();
    first.assert_status(202);
    assert_replays(&first, &send(&acme, "key", "POST", DEVICES, &request_body("ada", &Phone::new(1))).await);
    assert_eq!(app.outbox().messages().len(), 1);
}

async fn twenty_parallel_requests_on_two_replicas_send_one_sms(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let other = acme.through(app.replica(&[]).await);
    let tasks: Vec<_> = (0..20)
        .map(|number| {
            let client = if number % 2 == 0 { acme.clone() } else { other.clone() };
            tokio::spawn(
                async move { send(&client, "key", "POST", DEVICES, &request_body("ada", &Phone::new(1))).await },
            )
        })
        .collect();
    let mut accepted = Vec::new();
    for task in tasks {
        let answer = task.await.unwrap();
        match answer.status.as_u16() {
            202 => accepted.push(answer.body),
            status => assert_eq!(status, 409),
        }
    }
    assert!(!accepted.is_empty() && accepted.iter().all(|body| *body == accepted[0]));
    assert_eq!(app.outbox().messages().len(), 1);
}

async fn keys_are_scoped_to_client_method_and_path(app: TestApp) {
    let (acme, globex) = (app.partner(), app.other_partner());
    for client in [&acme, &globex] {
        client.verified_person("ada").await;
        let answer = send(client, "key", "POST", DEVICES, &request_body("ada", &Phone::new(1))).await;
        assert_eq!(answer.assert_status(202).headers.get("idempotency-replayed"), None);
    }
    let authorize = "/v1/persons/ada/mobile_number/authorize";
    send(&acme, "key", "POST", authorize, &json!({"number": NUMBER})).await.assert_status(201);
    assert_eq!(app.outbox().messages().len(), 3);
}

async fn an_outcome_is_stored_for_a_day(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    send(&acme, "key", "POST", DEVICES, &request_body("ada", &Phone::new(1))).await.assert_status(202);
    let router = |app: &TestApp| app.partner();
    app.advance(TimeDelta::hours(24) - TimeDelta::seconds(1));
    let stored = send(&router(&app), "key", "POST", DEVICES, &request_body("ada", &Phone::new(1))).await;
    assert_eq!(stored.headers["idempotency-replayed"], "true");
    app.advance(TimeDelta::seconds(1));
    let served = send(&router(&app), "key", "POST", DEVICES, &request_body("ada", &Phone::new(1))).await;
    assert_eq!(served.assert_status(202).headers.get("idempotency-replayed"), None);
    assert_eq!(app.outbox().messages().len(), 2);
}

async fn a_repeated_request_after_its_retry_after_is_served(app: TestApp) {
    let acme = app.partner();
    let limited = acme.through(app.replica(&[("SMS_LIMITS", "enforce")]).await);
    acme.verified_person("ada").await;
    let (asked, refused) = (request_body("ada", &Phone::new(1)), request_body("ada", &Phone::new(2)));
    send(&limited, "first", "POST", DEVICES, &asked).await.assert_status(202);
    for left in ["30", "20", "10"] {
        let refusal = send(&limited, "second", "POST", DEVICES, &refused).await;
        assert_eq!(refusal.assert_status(429).headers["retry-after"], left);
        assert_eq!(refusal.headers.get("idempotency-replayed"), None);
        app.advance(TimeDelta::seconds(10));
    }
    assert_eq!(app.outbox().messages().len(), 1);
    let served = send(&limited, "second", "POST", DEVICES, &refused).await;
    assert_replays(&served, &send(&limited, "second", "POST", DEVICES, &refused).await);
    assert_eq!(app.outbox().messages().len(), 2);
}

async fn a_server_error_is_not_stored(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    app.network(Network::IsDown);
    send(&acme, "key", "POST", DEVICES, &request_body("ada", &Phone::new(1))).await.assert_status(502);
    app.network(Network::Works);
    let sent = app.outbox().messages().len();
    let served = send(&acme, "key", "POST", DEVICES, &request_body("ada", &Phone::new(1))).await;
    assert_eq!(served.assert_status(202).headers.get("idempotency-replayed"), None);
    assert_eq!(app.outbox().messages().len(), sent + 1);
}

async fn a_key_is_one_to_255_visible_characters(app: TestApp) {
    let acme = app.partner();
    let detail = "Idempotency-Key must be one value of 1 to 255 visible ASCII characters";
    for key in [String::new(), " ".to_owned(), "a b".to_owned(), "x".repeat(256)] {
        let refused = send(&acme, &key, "POST", DEVICES, &json!({})).await;
        refused.assert_error(400, "validation_error", detail);
    }
    let two = Request::post(DEVICES).header("idempotency-key", "a").header("idempotency-key", "b");
    acme.request(two.body(Body::from("{}")).unwrap()).await.assert_error(400, "validation_error", detail);
    assert_eq!(stored(&app).await, 0);
    send(&acme, &"x".repeat(255), "POST", DEVICES, &json!({})).await.assert_status(400);
    assert_eq!(stored(&app).await, 1);
}

async fn unauthenticated_requests_claim_no_key(app: TestApp) {
    send(&app.stranger(), "key", "POST", DEVICES, &json!({})).await.assert_status(401);
    send(&app.with_token(Some("x.y.z")), "key", "POST", DEVICES, &json!({})).await.assert_status(401);
    assert_eq!(stored(&app).await, 0);
}

async fn no_secret_is_stored(app: TestApp) {
    let (acme, phone, other) = (app.partner(), Phone::new(1), Phone::new(2));
    let number = "/v1/persons/ada/mobile_number";
    acme.verified_person("ada").await;
    send(&acme, "key", "POST", &format!("{number}/authorize"), &json!({"number": NUMBER})).await.assert_status(201);
    let token = app.outbox().last().code();
    let confirmation = json!({"number": NUMBER, "token": token});
    send(&acme, "key", "POST", &format!("{number}/confirm"), &confirmation).await.assert_status(201);
    let with_payload = |mut body: Value| {
        body["device_data"] = json!("fingerprint-of-a-device");
        body
    };
    let asked = send(&acme, "key", "POST", DEVICES, &with_payload(request_body("ada", &phone))).await.json();
    let (id, code) = (asked["id"].as_str().unwrap(), app.outbox().last().code());
    let (wrong, right) = (phone.sign("wrong"), phone.sign(&code));
    let path = format!("/v1/mfa/challenges/signatures/{id}");
    send(&acme, "wrong", "PUT", &path, &with_payload(json!({"signature": wrong}))).await.assert_status(403);
    send(&acme, "right", "PUT", &path, &with_payload(json!({"signature": right}))).await.assert_status(204);
    let vouched = phone.vouch_for(&other);
    send(&acme, "key", "POST", &format!("{DEVICES}/{id}/keys"), &vouched).await.assert_status(201);
    assert_eq!(stored(&app).await, 6);

    let rows = sql::every_value_in(&app.database, "idempotent_request").await;
    // Proves that this search finds stored values: an answer contains ids, and the number that the client sent.
    for shown in [id, NUMBER] {
        assert!(forms(shown).iter().any(|form| rows.contains(form)), "{shown} in {rows}");
    }
    let vouching = vouched["device_signature"]["signature"].as_str().unwrap();
    let bearer = acme.token().expect("a partner has a token");
    let keys = [&*phone.key(), &*other.key()];
    for secret in [&*token, &code, &wrong, &right, vouching, bearer, "fingerprint-of-a-device"].into_iter().chain(keys)
    {
        for form in forms(secret) {
            assert!(!rows.contains(&form), "{form} in {rows}");
        }
    }
}

/// The forms of a text in a row: hex of an answer's bytes, or plain. Six digits may occur in any digest, so a code is
/// searched for in the quotes of JSON and SQL.
fn forms(text: &str) -> Vec<String> {
    let text = text.to_lowercase();
    if text.len() == 6 {
        return [format!("\"{text}\""), format!(":{text}")]
            .iter()
            .map(hex::encode)
            .chain([format!("'{text}'")])
            .collect();
    }
    vec![hex::encode(&text), text]
}

async fn stored(app: &TestApp) -> i64 {
    books::count(&app.database, "select count(*) from idempotent_request").await
}
