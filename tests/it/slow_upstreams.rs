//! SMS providers, SEON and identity providers that hang, fail or misbehave, and their effect on other requests.

use std::time::Duration;

use chrono::TimeDelta;
use device_management::api;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::activation_codes::{activation_code, ask_by_letter};
use crate::harness::faulty_server::{Behaviour, FaultyServer};
use crate::harness::identity_provider::{AUDIENCE, IdentityProvider, IssuerKey};
use crate::harness::{Answer, DEVICE_CHALLENGES, Phone, SMS_CHALLENGES, TestApp, TestClient, on_both_databases};

on_both_databases![
    a_hanging_sms_provider_does_not_delay_other_requests,
    a_hanging_seon_does_not_delay_other_requests,
    the_circuit_breaker_skips_a_failing_provider_and_the_next_one_sends,
    with_every_provider_skipped_the_answer_is_502_without_a_call,
    any_failure_of_seon_is_decided_by_the_policy_within_the_timeout,
    tokens_that_wait_for_keys_hold_no_places,
    known_keys_are_served_while_the_identity_provider_fails,
];

/// Concurrent hanging requests, far more than there are connections to the database.
const HANGING: u32 = 24;

/// The highest latency of a request without an outbound call: half of the timeout of SEON here, a twelfth of that of
/// SMS.
const SOON: Duration = Duration::from_secs(5);

const NOT_SENT: &str = "the SMS could not be sent and the request had no effect; please retry";
const PAYLOAD: &str = "Web;179ac83968ab42f7;jVl14emA+OcyALb9F+CMFg==;NU7aFh0jdzM15wj8hQtqbA5LbzEFWDI1bUwZf";

async fn a_hanging_sms_provider_does_not_delay_other_requests(app: TestApp) {
    let gateway = FaultyServer::start(Behaviour::Hang).await;
    let url = gateway.url();
    let settings = [
        ("SMS_PROVIDERS", "webhook"),
        ("SMS_WEBHOOK_URL", url.as_str()),
        ("SMS_WEBHOOK_TOKEN", "a-token"),
        ("SMS_TIMEOUT_MS", "60000"),
        ("REQUEST_DEADLINE_SECONDS", "300"),
        ("DATABASE_MAX_CONNECTIONS", "2"),
    ];
    let replica = app.partner().through(app.replica(&settings).await);
    let hanging = start_hanging_requests(&app, &replica, None).await;
    gateway.has_read(HANGING as usize).await;
    run_other_requests(&app, &replica).await;
    assert!(hanging.iter().all(|asking| !asking.is_finished()), "the requests still hang");

    // The gateway may have accepted the messages.
    drop(gateway);
    assert_accepted(hanging).await;
}

async fn a_hanging_seon_does_not_delay_other_requests(app: TestApp) {
    let seon = FaultyServer::start(Behaviour::Hang).await;
    let url = seon.url();
    let settings = [
        ("SEON_API_KEY", "a-licence"),
        ("SEON_BASE_URL", url.as_str()),
        ("SEON_TIMEOUT_MS", "10000"),
        ("REQUEST_DEADLINE_SECONDS", "300"),
        ("DATABASE_MAX_CONNECTIONS", "2"),
    ];
    let replica = app.partner().through(app.replica(&settings).await);
    let hanging = start_hanging_requests(&app, &replica, Some(PAYLOAD)).await;
    seon.has_read(HANGING as usize).await;
    run_other_requests(&app, &replica).await;
    assert!(hanging.iter().all(|asking| !asking.is_finished()), "the requests still hang");

    drop(seon);
    assert_accepted(hanging).await;
}

async fn the_circuit_breaker_skips_a_failing_provider_and_the_next_one_sends(app: TestApp) {
    let (gateway, twilio) = (FaultyServer::start(Behaviour::ResetAfterRequest).await, MockServer::start().await);
    let created = ResponseTemplate::new(201).set_body_json(json!({"sid": "SM42"}));
    Mock::given(method("POST")).respond_with(created).mount(&twilio).await;
    let (gateway_url, twilio_url) = (gateway.url(), twilio.uri());
    let settings = [
        ("SMS_PROVIDERS", "webhook,twilio"),
        ("SMS_WEBHOOK_URL", gateway_url.as_str()),
        ("SMS_WEBHOOK_TOKEN", "a-token"),
        ("TWILIO_BASE_URL", twilio_url.as_str()),
        ("TWILIO_ACCOUNT_SID", "AC1"),
        ("TWILIO_AUTH_TOKEN", "a-token"),
        ("TWILIO_FROM", "Sandbox"),
        ("SMS_TIMEOUT_MS", "60000"),
        ("SMS_BREAKER_FAILURES", "2"),
        ("SMS_BREAKER_SECONDS", "3600"),
    ];
    let replica = app.partner().through(app.replica(&settings).await);
    replica.verified_person("ada").await;
    for sent_by_twilio in [0, 0, 1, 2] {
        ask(&replica, "ada", 1, None).await.assert_status(202);
        assert_eq!(twilio.received_requests().await.unwrap().len(), sent_by_twilio);
    }
    assert_eq!(gateway.requests(), 2);
}

async fn with_every_provider_skipped_the_answer_is_502_without_a_call(app: TestApp) {
    let gateway = FaultyServer::start(Behaviour::ResetAfterRequest).await;
    let url = gateway.url();
    let settings = [
        ("SMS_PROVIDERS", "webhook"),
        ("SMS_WEBHOOK_URL", url.as_str()),
        ("SMS_WEBHOOK_TOKEN", "a-token"),
        ("SMS_TIMEOUT_MS", "60000"),
        ("SMS_BREAKER_FAILURES", "1"),
        ("SMS_BREAKER_SECONDS", "3600"),
    ];
    let replica = app.partner().through(app.replica(&settings).await);
    replica.verified_person("ada").await;
    ask(&replica, "ada", 1, None).await.assert_status(202);
    for _ in 0..2 {
        let answer = ask(&replica, "ada", 2, None).await;
        answer.assert_error(502, "bad_gateway", NOT_SENT);
    }
    assert_eq!(gateway.requests(), 1, "the provider was not called again");

    // The circuit breaker is per replica.
    let other = app.partner().through(app.replica(&settings).await);
    ask(&other, "ada", 2, None).await.assert_status(202);
    assert_eq!(gateway.requests(), 2);
}

async fn any_failure_of_seon_is_decided_by_the_policy_within_the_timeout(app: TestApp) {
    let behaviour = [
        Behaviour::Hang,
        Behaviour::SlowHead,
        Behaviour::SlowBody(200),
        Behaviour::Close,
        Behaviour::Reset,
        Behaviour::ResetAfterRequest,
        Behaviour::Respond(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
        Behaviour::Respond(vec![b'x'; 10 << 20]),
        Behaviour::LargeBody(200, 10 << 20),
    ];
    for (index, behaviour) in (1..).zip(behaviour) {
        let seon = FaultyServer::start(behaviour.clone()).await;
        let url = seon.url();
        for (on_error, status) in [("allow", 202), ("deny", 403)] {
            let settings = [
                ("SEON_API_KEY", "a-licence"),
                ("SEON_BASE_URL", url.as_str()),
                ("SEON_TIMEOUT_MS", "100"),
                ("SEON_ON_ERROR", on_error),
            ];
            let replica = app.partner().through(app.replica(&settings).await);
            let person = format!("{on_error}-{index}");
            replica.verified_person(&person).await;
            let answer = timeout(SOON, ask(&replica, &person, index, Some(PAYLOAD))).await;
            answer.unwrap_or_else(|_| panic!("no answer with {on_error} and {index}")).assert_status(status);
        }
    }
}

async fn tokens_that_wait_for_keys_hold_no_places(app: TestApp) {
    let (silent, key) = (FaultyServer::start(Behaviour::Hang).await, IssuerKey::ec("ec", 1));
    let url = silent.url();
    // One place is enough, because a request whose token waits for keys holds none.
    let settings = [
        ("EXTERNAL_ISSUER", url.as_str()),
        ("EXTERNAL_JWKS_URL", url.as_str()),
        ("EXTERNAL_AUDIENCE", AUDIENCE),
        ("REQUESTS_AT_ONCE", "1"),
    ];
    let replica = app.replica(&settings).await;
    let (own, external) = (app.partner().through(replica.clone()), with_token_of(&app, &key, &url).through(replica));
    let begun = Instant::now();
    let waiting: Vec<_> = (0..HANGING)
        .map(|_| {
            let external = external.clone();
            tokio::spawn(async move { external.get("/v1/mfa/devices").await })
        })
        .collect();
    silent.has_read(1).await;
    own.verified_person("ada").await;
    for _ in 0..20 {
        own.get("/v1/mfa/devices").await.assert_status(200);
    }
    for waiting in waiting {
        waiting.await.unwrap().assert_status(503);
    }
    assert!(begun.elapsed() < SOON, "all of them waited for one fetch");
    // Later requests do not wait: no fetch for ten seconds after a failure.
    external.get("/v1/mfa/devices").await.assert_status(503);
    assert_eq!(silent.requests(), 1);
}

async fn known_keys_are_served_while_the_identity_provider_fails(app: TestApp) {
    let (key, other) = (IssuerKey::ec("ec", 1), IssuerKey::ec("other", 2));
    let provider = IdentityProvider::with(&[&key]).await;
    let (issuer, keys) = (provider.issuer(), provider.jwks_url());
    let settings =
        [("EXTERNAL_ISSUER", issuer.as_str()), ("EXTERNAL_JWKS_URL", keys.as_str()), ("EXTERNAL_AUDIENCE", AUDIENCE)];
    let replica = app.another(&settings).await;
    let router = api::router(replica.clone());
    let known = with_token_of(&app, &key, &issuer).through(router.clone());
    let mut unknown = with_token_of(&app, &other, &issuer).through(router.clone());
    let own = app.partner().through(router);
    known.get("/v1/mfa/devices").await.assert_status(200);

    for trouble in ["hangs", "fails", "answers HTML"] {
        match trouble {
            "hangs" => provider.hang().await,
            "fails" => provider.answer_503().await,
            _ => provider.answer_html().await,
        }
        // The keys are stale, and tokens with an unknown key cause a fetch.
        app.advance(TimeDelta::minutes(10));
        let refreshing = tokio::spawn({
            let tokens = replica.tokens.clone();
            async move { tokens.refresh_keys().await.is_err() }
        });
        let waiting = tokio::spawn(async move { (unknown.get("/v1/mfa/devices").await.status, unknown) });
        for _ in 0..20 {
            let begun = Instant::now();
            known.get("/v1/mfa/devices").await.assert_status(200);
            own.get("/v1/mfa/devices").await.assert_status(200);
            assert!(begun.elapsed() < Duration::from_secs(2), "{trouble}: {:?}", begun.elapsed());
        }
        if trouble == "hangs" {
            assert!(!waiting.is_finished(), "the request with the unknown key still waits");
        }
        assert!(refreshing.await.unwrap(), "{trouble}");
        let (status, back) = waiting.await.unwrap();
        assert_eq!(status, 401, "{trouble}");
        unknown = back;
        assert_eq!(provider.request_count().await, 1, "{trouble}");
    }
}

/// A client with a token that this key has signed.
fn with_token_of(app: &TestApp, key: &IssuerKey, issuer: &str) -> TestClient {
    let now = app.app.service.clock.now().timestamp();
    let claims = json!({
        "iss": issuer, "aud": AUDIENCE, "sub": "backoffice", "exp": now + 7200, "scope": "partners", "partner": "acme"
    });
    app.with_token(Some(&key.token(&claims)))
}

async fn ask(client: &TestClient, person: &str, phone: u32, device_data: Option<&str>) -> Answer {
    client.post("/v1/mfa/devices", device_request(person, phone, device_data)).await
}

fn device_request(person: &str, phone: u32, device_data: Option<&str>) -> Value {
    let key = Phone::new(phone).key();
    json!({"person_id": person, "key_type": "ecdsa-p256", "key": key, "device_data": device_data})
}

/// Requests devices, SMS challenges and, with `device_data`, device challenges through a replica whose outbound calls
/// hang.
async fn start_hanging_requests(
    app: &TestApp,
    replica: &TestClient,
    device_data: Option<&'static str>,
) -> Vec<JoinHandle<Answer>> {
    let acme = app.partner();
    let mut asking = Vec::new();
    for index in 0..HANGING {
        let person = format!("hangs-{index}");
        acme.verified_person(&person).await;
        let phone = Phone::new(index);
        let request = match (index % 3, device_data) {
            (1, _) => ("POST", SMS_CHALLENGES.to_owned(), json!({"person_id": person, "device_data": device_data})),
            (2, Some(device_data)) => {
                let device = acme.bind(&person, &phone).await.id;
                if index % 2 == 0 {
                    let wish = json!({"device_id": device, "device_data": device_data});
                    ("POST", DEVICE_CHALLENGES.to_owned(), wish)
                } else {
                    let challenge = acme.challenge(&device).await;
                    let answer = json!({"signature": phone.sign(&challenge.text), "device_data": device_data});
                    ("PUT", format!("{DEVICE_CHALLENGES}/{}", challenge.id), answer)
                }
            }
            _ => ("POST", "/v1/mfa/devices".to_owned(), device_request(&person, index, device_data)),
        };
        let replica = replica.clone();
        asking.push(tokio::spawn(async move {
            let (method, path, body) = request;
            replica.send(method, &path, Some(body)).await
        }));
    }
    asking
}

/// Each hanging request takes effect once the call has ended.
async fn assert_accepted(hanging: Vec<JoinHandle<Answer>>) {
    for asking in hanging {
        let answer = asking.await.unwrap();
        assert!(matches!(answer.status.as_u16(), 201 | 202 | 204), "{}", answer.status);
    }
}

/// Sends requests without outbound calls through the same replica, and checks their latency.
async fn run_other_requests(app: &TestApp, replica: &TestClient) {
    let acme = app.partner();
    let mut last = Instant::now();
    let mut answered_soon = |what: &str| {
        assert!(last.elapsed() < SOON, "{what} took {:?}", last.elapsed());
        last = Instant::now();
    };
    for round in 0..3 {
        let person = format!("lives-{round}");
        replica.verified_person(&person).await;
        answered_soon("creating a number");
        let (phone, other) = (Phone::new(100 + round), Phone::new(200 + round));
        // Only the code comes from another replica, whose provider works.
        let asked = acme.ask_for_device(&person, &phone).await.id;
        let code = app.outbox().last().code();
        answered_soon("requesting a device at another replica");
        replica.answer(&asked, &phone.sign("wrong")).await.assert_status(403);
        answered_soon("a wrong answer");
        replica.answer(&asked, &phone.sign(&code)).await.assert_status(204);
        answered_soon("a right answer");
        let vouched = json!({"signature_key_purpose": "unrestricted", "signature": phone.sign(&other.key())});
        let key = json!({"key_type": "ecdsa-p256", "key": other.key(), "device_signature": vouched});
        replica.post(&format!("/v1/mfa/devices/{asked}/keys"), key).await.assert_status(201);
        answered_soon("adding a key");
        replica.get(&format!("/v1/mfa/devices/{asked}")).await.assert_status(200);
        answered_soon("reading a device");
        let challenge = replica.challenge(&asked).await;
        answered_soon("opening a device challenge");
        replica.sign(&challenge.id, &phone.sign("wrong")).await.assert_status(403);
        answered_soon("a wrong signature for a device challenge");
        replica.sign(&challenge.id, &phone.sign(&challenge.text)).await.assert_status(204);
        answered_soon("answering a device challenge");
        let sms = acme.sms_challenge(&person).await;
        replica.type_code(&sms.id, &sms.code).await.assert_status(204);
        answered_soon("answering an SMS challenge");
        // A person without a number gets no notice by SMS.
        let other_person = format!("has-a-letter-{round}");
        let letter = activation_code(replica, &other_person).await;
        answered_soon("creating an activation code");
        let phone = Phone::new(300 + round);
        let by_letter = ask_by_letter(replica, &other_person, &phone).await;
        replica.answer(&by_letter, &phone.sign(&letter.code)).await.assert_status(204);
        answered_soon("binding a device with an activation code");
        replica.delete(&format!("/v1/mfa/devices/{asked}")).await.assert_status(204);
        answered_soon("deleting a device");
    }
}
