//! The fraud check in the flows that it may stop (docs/api-design.md#fraud-check), with a double of SEON.

use std::time::Duration;

use serde_json::{Value, json};
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::harness::log::Log;
use crate::harness::sql::{everything, texts};
use crate::harness::{
    DEVICE_CHALLENGES, Engine, Network, Phone, SMS_CHALLENGES, TestApp, TestClient, on_both_databases,
};

on_both_databases![
    the_observe_policy_records_every_verdict_and_refuses_no_request,
    an_enforced_decline_refuses_a_binding_before_the_sms,
    an_enforced_decline_closes_the_answered_challenge,
    an_enforced_decline_adds_no_key,
    an_enforced_decline_refuses_an_sms_challenge_before_the_sms,
    an_sms_challenge_is_assessed_with_its_payload,
    an_enforced_decline_opens_no_device_challenge,
    an_enforced_decline_closes_the_answered_device_challenge,
    approved_and_reviewed_devices_are_allowed,
    an_answer_is_assessed_only_with_a_payload_in_seons_format,
    only_a_right_signature_is_assessed,
    a_failed_check_is_recorded_and_allows_the_request_by_default,
    a_failed_check_refuses_the_request_if_the_operator_sets_it,
    a_verdict_is_recorded_even_if_the_request_fails_later,
    without_a_payload_or_without_seon_nothing_is_assessed,
    no_payload_is_stored,
];

pub(crate) const PAYLOAD: &str = "Web;179ac83968ab42f7;jVl14emA+OcyALb9F+CMFg==;NU7aFh0jdzM15wj8hQtqbA5LbzEFWDI1bUwZf";
const DECLINED: &str = "the device was declined";
const ENFORCE: (&str, &str) = ("SEON_POLICY", "enforce");
const DENY: (&str, &str) = ("SEON_ON_ERROR", "deny");

async fn the_observe_policy_records_every_verdict_and_refuses_no_request(app: TestApp) {
    let seon = Seon::that_says("DECLINE").await;
    let acme = seon.guarded(&app, &[]).await;
    acme.verified_person("ada").await;
    let device = bind(&app, &acme, PAYLOAD).await;
    acme.post(&keys(&device), key_request()).await.assert_status(201);

    let words = "97.5 seon-1 yes";
    let expected = ["device_binding", "device_key_creation", "device_verification"];
    let expected = expected.map(|action| format!("acme ada {device} {action} decline {words}"));
    assert_eq!(recorded(&app).await, expected);

    let asked = seon.questions().await;
    let actions: Vec<&Value> = asked.iter().map(|question| &question["action_type"]).collect();
    assert_eq!(actions, ["device_binding", "device_verification", "device_key_creation"]);
    for question in &asked {
        assert_eq!((&question["session"], &question["user_id"]), (&json!(PAYLOAD), &json!("ada")));
        uuid::Uuid::try_parse(question["transaction_id"].as_str().unwrap()).unwrap();
        assert_eq!(question["config"]["device_fingerprinting"], true);
    }
}

async fn an_enforced_decline_refuses_a_binding_before_the_sms(app: TestApp) {
    let seon = Seon::that_says("DECLINE").await;
    let acme = seon.guarded(&app, &[ENFORCE]).await;
    acme.verified_person("ada").await;
    let earlier = acme.ask_for_device("ada", &Phone::new(1)).await.id;
    let code = app.outbox().last().code();

    let answer = acme.post("/v1/mfa/devices", device_request(PAYLOAD)).await;
    answer.assert_error(403, "unauthorized_action", DECLINED);
    assert_eq!(app.outbox().messages().len(), 1, "no SMS was sent for the declined request");
    let recorded = recorded(&app).await;
    assert_eq!(recorded.len(), 1);
    assert!(recorded[0].ends_with("device_binding decline 97.5 seon-1 no"), "{recorded:?}");
    // The declined request did not affect the earlier challenge.
    acme.answer(&earlier, &Phone::new(1).sign(&code)).await.assert_status(204);
}

async fn an_enforced_decline_closes_the_answered_challenge(app: TestApp) {
    let seon = Seon::that_says("DECLINE").await;
    let acme = seon.guarded(&app, &[ENFORCE]).await;
    acme.verified_person("ada").await;
    let phone = Phone::new(1);
    let asked = acme.ask_for_device("ada", &phone).await.id;
    let signature = phone.sign(&app.outbox().last().code());
    let challenge = format!("/v1/mfa/challenges/signatures/{asked}");

    let answer = acme.put(&challenge, json!({"signature": signature, "device_data": PAYLOAD})).await;
    answer.assert_error(403, "unauthorized_action", DECLINED);
    // The challenge stays closed, also without the payload.
    for _ in 0..2 {
        acme.answer(&asked, &signature).await.assert_status(404);
        acme.get(&challenge).await.assert_status(404);
        acme.get(&format!("/v1/mfa/devices/{asked}")).await.assert_status(404);
    }
    assert_eq!(recorded(&app).await, [format!("acme ada {asked} device_verification decline 97.5 seon-1 no")]);
}

async fn an_enforced_decline_adds_no_key(app: TestApp) {
    let seon = Seon::that_says("DECLINE").await;
    let acme = seon.guarded(&app, &[ENFORCE]).await;
    acme.verified_person("ada").await;
    let device = acme.bind("ada", &Phone::new(1)).await.id;
    acme.post(&keys(&device), key_request()).await.assert_error(403, "unauthorized_action", DECLINED);
    assert_eq!(acme.get(&keys(&device)).await.json()[0]["keys"].as_array().map(Vec::len), Some(1));
    assert_eq!(recorded(&app).await, [format!("acme ada {device} device_key_creation decline 97.5 seon-1 no")]);
}

async fn an_enforced_decline_refuses_an_sms_challenge_before_the_sms(app: TestApp) {
    let seon = Seon::that_says("DECLINE").await;
    let acme = seon.guarded(&app, &[ENFORCE]).await;
    acme.verified_person("ada").await;
    let earlier = acme.sms_challenge("ada").await;
    let answer = acme.post(SMS_CHALLENGES, json!({"person_id": "ada", "device_data": PAYLOAD})).await;
    answer.assert_error(403, "unauthorized_action", DECLINED);
    assert_eq!(app.outbox().messages().len(), 1, "no SMS was sent for the declined request");
    let recorded = recorded(&app).await;
    assert!(recorded.len() == 1 && recorded[0].ends_with("sms_challenge decline 97.5 seon-1 no"), "{recorded:?}");
    // The declined request did not affect the earlier challenge.
    acme.type_code(&earlier.id, &earlier.code).await.assert_status(204);
}

async fn an_sms_challenge_is_assessed_with_its_payload(app: TestApp) {
    let seon = Seon::that_says("APPROVE").await;
    let acme = seon.guarded(&app, &[ENFORCE]).await;
    acme.verified_person("ada").await;
    let wish = json!({"person_id": "ada", "device_data": PAYLOAD});
    let opened = acme.post(SMS_CHALLENGES, wish).await.assert_status(201).json();
    let id = opened["id"].as_str().unwrap();
    assert_eq!(recorded(&app).await, [format!("acme ada {id} sms_challenge approve 97.5 seon-1 yes")]);
    let asked = seon.questions().await;
    let asked = (&asked[0]["session"], &asked[0]["user_id"], &asked[0]["action_type"]);
    assert_eq!(asked, (&json!(PAYLOAD), &json!("ada"), &json!("sms_challenge")));
}

#[tokio::test]
async fn the_log_names_the_assessed_challenge_or_device() {
    let app = TestApp::with(Engine::Sqlite, &[]).await;
    let seon = Seon::that_says("APPROVE").await;
    let acme = seon.guarded(&app, &[]).await;
    acme.verified_person("ada").await;
    let device = acme.bind("ada", &Phone::new(1)).await.id;
    let log = Log::text();
    let wish = json!({"person_id": "ada", "device_data": PAYLOAD});
    let opened = acme.post(SMS_CHALLENGES, wish).await.assert_status(201).json();
    let wish = json!({"device_id": device, "device_data": PAYLOAD});
    acme.post(DEVICE_CHALLENGES, wish).await.assert_status(201);
    let contents = log.contents();
    let lines: Vec<&str> = contents.lines().filter(|line| line.contains("device assessed")).collect();
    let challenge = opened["id"].as_str().unwrap();
    let expected = [("sms_challenge", "challenge.id", challenge), ("device_challenge", "device.id", &*device)];
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, (action, name, id)) in lines.iter().zip(expected) {
        let fields = format!("fraud.action=\"{action}\" fraud.state=\"approve\" {name}={id} allowed=true");
        assert!(line.ends_with(&fields), "{line}");
    }
}

async fn an_enforced_decline_opens_no_device_challenge(app: TestApp) {
    let seon = Seon::that_says("DECLINE").await;
    let acme = seon.guarded(&app, &[ENFORCE]).await;
    acme.verified_person("ada").await;
    let device = acme.bind("ada", &Phone::new(1)).await.id;
    let wish = json!({"device_id": device, "device_data": PAYLOAD});
    acme.post(DEVICE_CHALLENGES, wish).await.assert_error(403, "unauthorized_action", DECLINED);
    assert_eq!(recorded(&app).await, [format!("acme ada {device} device_challenge decline 97.5 seon-1 no")]);
    assert_eq!(texts(app.database.url(), "select 'open' from device_challenge").await, [""; 0]);
}

async fn an_enforced_decline_closes_the_answered_device_challenge(app: TestApp) {
    let seon = Seon::that_says("DECLINE").await;
    let acme = seon.guarded(&app, &[ENFORCE]).await;
    acme.verified_person("ada").await;
    let phone = Phone::new(1);
    let device = acme.bind("ada", &phone).await.id;
    let challenge = acme.challenge(&device).await;
    let path = format!("{DEVICE_CHALLENGES}/{}", challenge.id);
    let signature = phone.sign(&challenge.text);
    let answer = acme.put(&path, json!({"signature": signature, "device_data": PAYLOAD})).await;
    answer.assert_error(403, "unauthorized_action", DECLINED);
    // The challenge stays closed, also without the payload.
    acme.sign(&challenge.id, &signature).await.assert_status(404);
    acme.get(&path).await.assert_status(404);
    assert_eq!(recorded(&app).await, [format!("acme ada {device} device_verification decline 97.5 seon-1 no")]);
}

async fn approved_and_reviewed_devices_are_allowed(app: TestApp) {
    for (state, phone) in [("APPROVE", 1), ("REVIEW", 3)] {
        let seon = Seon::that_says(state).await;
        let acme = seon.guarded(&app, &[ENFORCE, DENY]).await;
        let person = format!("ada-{phone}");
        acme.verified_person(&person).await;
        let mut request = device_request(PAYLOAD);
        request["person_id"] = json!(person);
        request["key"] = json!(Phone::new(phone).key());
        let asked = acme.post("/v1/mfa/devices", request).await.assert_status(202).json();
        let body = json!({"signature": Phone::new(phone).sign(&app.outbox().last().code()), "device_data": PAYLOAD});
        let challenge = format!("/v1/mfa/challenges/signatures/{}", asked["id"].as_str().unwrap());
        acme.put(&challenge, body).await.assert_status(204);
        assert_eq!(seon.questions().await.len(), 2, "{state}");
    }
    let recorded = recorded(&app).await;
    assert_eq!(recorded.iter().filter(|record| record.ends_with("review 97.5 seon-1 yes")).count(), 2, "{recorded:?}");
    assert_eq!(recorded.iter().filter(|record| record.ends_with("approve 97.5 seon-1 yes")).count(), 2, "{recorded:?}");
}

async fn an_answer_is_assessed_only_with_a_payload_in_seons_format(app: TestApp) {
    let seon = Seon::that_says("DECLINE").await;
    let acme = seon.guarded(&app, &[ENFORCE, DENY]).await;
    acme.verified_person("ada").await;
    for (phone, any_string) in
        [(1, "YW55IHN0cmluZyBwcm92aWRlZCBieSB0aGUgY2xpZW50Cg=="), (2, " \u{0}\n"), (3, "Web;x;AAAA")]
    {
        let phone = Phone::new(phone);
        let asked = acme.ask_for_device("ada", &phone).await.id;
        let body = json!({"signature": phone.sign(&app.outbox().last().code()), "device_data": any_string});
        acme.put(&format!("/v1/mfa/challenges/signatures/{asked}"), body).await.assert_status(204);
    }
    assert_eq!((seon.questions().await.len(), recorded(&app).await.len()), (0, 0));
}

async fn only_a_right_signature_is_assessed(app: TestApp) {
    let seon = Seon::that_says("DECLINE").await;
    let acme = seon.guarded(&app, &[ENFORCE]).await;
    acme.verified_person("ada").await;
    let device = acme.bind("ada", &Phone::new(1)).await.id;
    let asked = acme.ask_for_device("ada", &Phone::new(2)).await.id;
    let wrong = json!({"signature": Phone::new(2).sign("wrong"), "device_data": PAYLOAD});
    let answer = acme.put(&format!("/v1/mfa/challenges/signatures/{asked}"), wrong).await;
    answer.assert_wrong("the signature is wrong");
    let mut wrong = key_request();
    wrong["device_signature"]["signature"] = json!(Phone::new(1).sign("wrong"));
    acme.post(&keys(&device), wrong).await.assert_wrong("the signature is wrong");
    // A request that is refused for another reason is not assessed either.
    let mut unknown = device_request(PAYLOAD);
    unknown["person_id"] = json!("unknown");
    acme.post("/v1/mfa/devices", unknown).await.assert_status(400);
    assert_eq!((seon.questions().await.len(), recorded(&app).await.len()), (0, 0));
}

async fn a_failed_check_is_recorded_and_allows_the_request_by_default(app: TestApp) {
    for (person, seon, timeout_ms, state) in failures().await {
        let acme = seon.guarded(&app, &[ENFORCE, ("SEON_TIMEOUT_MS", timeout_ms)]).await;
        acme.verified_person(person).await;
        let mut request = device_request(PAYLOAD);
        request["person_id"] = json!(person);
        let asked = acme.post("/v1/mfa/devices", request).await.assert_status(202).json();
        let record = format!("acme {person} {} device_binding {state} - - yes", asked["id"].as_str().unwrap());
        assert!(recorded(&app).await.contains(&record), "{state}: {:?}", recorded(&app).await);
    }
}

async fn a_failed_check_refuses_the_request_if_the_operator_sets_it(app: TestApp) {
    for (person, seon, timeout_ms, state) in failures().await {
        let acme = seon.guarded(&app, &[DENY, ("SEON_TIMEOUT_MS", timeout_ms)]).await;
        acme.verified_person(person).await;
        let mut request = device_request(PAYLOAD);
        request["person_id"] = json!(person);
        acme.post("/v1/mfa/devices", request).await.assert_error(403, "unauthorized_action", DECLINED);
        let last = recorded(&app).await.into_iter().find(|record| record.contains(person));
        assert!(last.is_some_and(|record| record.ends_with(&format!("device_binding {state} - - no"))), "{state}");
    }
    assert!(app.outbox().messages().is_empty());
}

async fn a_verdict_is_recorded_even_if_the_request_fails_later(app: TestApp) {
    let seon = Seon::that_says("APPROVE").await;
    let acme = seon.guarded(&app, &[]).await;
    acme.verified_person("ada").await;
    app.network(Network::IsDown);
    acme.post("/v1/mfa/devices", device_request(PAYLOAD)).await.assert_status(502);
    app.network(Network::Works);
    assert_eq!(recorded(&app).await.len(), 1);

    let device = acme.bind("ada", &Phone::new(1)).await.id;
    let mut taken = key_request();
    taken["key"] = json!(Phone::new(1).key());
    taken["device_signature"]["signature"] = json!(Phone::new(1).sign(&Phone::new(1).key()));
    acme.post(&keys(&device), taken).await.assert_status(409);
    assert_eq!(recorded(&app).await.len(), 2);
}

async fn without_a_payload_or_without_seon_nothing_is_assessed(app: TestApp) {
    let seon = Seon::that_says("DECLINE").await;
    let acme = seon.guarded(&app, &[ENFORCE, DENY]).await;
    acme.verified_person("ada").await;
    let device = acme.bind("ada", &Phone::new(1)).await.id;
    let mut body = key_request();
    body["device_data"] = json!(null);
    acme.post(&keys(&device), body).await.assert_status(201);
    assert_eq!(seon.questions().await.len(), 0);

    // The same service without SEON_API_KEY.
    let unguarded = app.partner();
    unguarded.delete(&format!("/v1/mfa/devices/{device}")).await.assert_status(204);
    bind(&app, &unguarded, PAYLOAD).await;
    assert_eq!((seon.questions().await.len(), recorded(&app).await.len()), (0, 0));
}

async fn no_payload_is_stored(app: TestApp) {
    let seon = Seon::that_says("APPROVE").await;
    let acme = seon.guarded(&app, &[]).await;
    acme.verified_person("ada").await;
    let device = bind(&app, &acme, PAYLOAD).await;
    acme.post(&keys(&device), key_request()).await.assert_status(201);
    assert_eq!(recorded(&app).await.len(), 3);

    let stored = everything(&app.database).await;
    assert!(stored.contains("device_key_creation"), "the search of the database finds assessments");
    for part in PAYLOAD.split(';').filter(|part| part.len() > 3) {
        assert!(!stored.contains(part) && !stored.contains(&hex::encode(part)), "{part}");
    }
}

/// A double of SEON.
pub(crate) struct Seon(MockServer);

impl Seon {
    pub(crate) async fn that_says(state: &str) -> Self {
        let data = json!({"id": "seon-1", "state": state, "fraud_score": 97.5, "applied_rules": []});
        Self::that_answers(
            ResponseTemplate::new(200).set_body_json(json!({"success": true, "error": {}, "data": data})),
        )
        .await
    }

    async fn that_answers(answer: ResponseTemplate) -> Self {
        let server = MockServer::start().await;
        let asked = Mock::given(method("POST"))
            .and(path("/SeonRestService/fraud-api/v2"))
            .and(header("x-api-key", "a-licence"));
        asked.respond_with(answer).mount(&server).await;
        Self(server)
    }

    /// The base URL.
    pub(crate) fn uri(&self) -> String {
        self.0.uri()
    }

    /// A client of a replica that calls this SEON.
    async fn guarded(&self, app: &TestApp, settings: &[(&str, &str)]) -> TestClient {
        let url = self.uri();
        let mut all = vec![("SEON_API_KEY", "a-licence"), ("SEON_BASE_URL", url.as_str())];
        all.extend(settings);
        app.partner().through(app.replica(&all).await)
    }

    /// The bodies of the received requests, in order.
    async fn questions(&self) -> Vec<Value> {
        let requests = self.0.received_requests().await.expect("requests are recorded");
        requests.iter().map(|request| request.body_json().expect("a question in JSON")).collect()
    }
}

/// Each kind of failed check: a person id, SEON, the timeout in milliseconds, and the state in the record.
async fn failures() -> [(&'static str, Seon, &'static str, &'static str); 4] {
    let unsuccessful = json!({"success": false, "error": {"code": "2002", "message": "no"}, "data": {}});
    let slow = ResponseTemplate::new(200).set_delay(Duration::from_secs(30));
    [
        ("p1", Seon::that_answers(ResponseTemplate::new(500)).await, "10000", "refused"),
        (
            "p2",
            Seon::that_answers(ResponseTemplate::new(200).set_body_json(unsuccessful)).await,
            "10000",
            "unsuccessful",
        ),
        ("p3", Seon::that_answers(ResponseTemplate::new(200).set_body_string("<html>")).await, "10000", "unreadable"),
        ("p4", Seon::that_answers(slow).await, "100", "timeout"),
    ]
}

fn keys(device: &str) -> String {
    format!("/v1/mfa/devices/{device}/keys")
}

/// A request for a device with the first phone's key.
fn device_request(device_data: &str) -> Value {
    json!({"person_id": "ada", "key_type": "ecdsa-p256", "key": Phone::new(1).key(), "device_data": device_data})
}

/// A request for another key, signed by the first phone.
fn key_request() -> Value {
    let key = Phone::new(2).key();
    let signature = json!({"signature_key_purpose": "unrestricted", "signature": Phone::new(1).sign(&key)});
    json!({"key": key, "key_type": "ecdsa-p256", "device_signature": signature, "device_data": PAYLOAD})
}

/// Binds the first phone, with the payload in both requests.
async fn bind(app: &TestApp, client: &TestClient, device_data: &str) -> String {
    let asked = client.post("/v1/mfa/devices", device_request(device_data)).await.assert_status(202).json();
    let device = asked["id"].as_str().unwrap().to_owned();
    let signature = Phone::new(1).sign(&app.outbox().last().code());
    let body = json!({"signature": signature, "device_data": device_data});
    client.put(&format!("/v1/mfa/challenges/signatures/{device}"), body).await.assert_status(204);
    device
}

/// Every stored assessment, sorted: partner, person, object, action, state, score, provider id, allowed.
async fn recorded(app: &TestApp) -> Vec<String> {
    // Ids are bytes on SQLite and UUIDs on Postgres; both become plain hexadecimal.
    let (url, id) = match app.database.engine() {
        Engine::Sqlite => (app.database.url(), "lower(hex(object_id))"),
        Engine::Postgres | Engine::Distributed | Engine::Citus => {
            (app.database.url(), "replace(cast(object_id as text), '-', '')")
        }
    };
    let query = format!(
        "select partner_id || ' ' || person_id || ' ' || {id} || ' ' || action || ' ' || state
             || ' ' || coalesce(cast(score as text), '-') || ' ' || coalesce(provider_id, '-') || ' ' || allowed
           from fraud_assessment
          where latency_ms >= 0"
    );
    let mut records: Vec<String> = texts(url, &query).await.iter().map(|record| hyphenated(record)).collect();
    records.sort_unstable();
    records
}

/// A record with its third word, the id, in hyphenated form.
fn hyphenated(record: &str) -> String {
    let words: Vec<String> = record.split(' ').map(str::to_owned).collect();
    let id = uuid::Uuid::try_parse(&words[2]).expect("an id").to_string();
    [&words[..2], &[id], &words[3..]].concat().join(" ")
}
