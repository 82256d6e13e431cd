//! Numbers for which the console provider fails. The flow is the real one: failover, timeout, circuit breaker, taking back.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::harness::{Answer, Phone, SMS_CHALLENGES, TestApp, TestClient, on_both_databases};

on_both_databases![
    each_ending_selects_the_answer_of_the_provider,
    a_hanging_provider_ends_with_its_timeout,
    every_request_that_sends_a_code_fails_for_a_rejected_number,
    an_open_circuit_does_not_disturb_other_numbers,
    a_failing_console_fails_over_to_the_next_provider,
    with_a_real_provider_the_endings_have_no_meaning,
];

const CONSOLE: (&str, &str) = ("SMS_PROVIDERS", "console");
const ENDINGS: [&str; 5] = ["0001", "0002", "0003", "0004", "0005"];

/// A client of another replica with these settings.
async fn client(app: &TestApp, settings: &[(&str, &str)]) -> TestClient {
    app.partner().through(app.replica(settings).await)
}

/// Requests an SMS challenge of a person whose number has this ending.
async fn send_to(client: &TestClient, ending: &str) -> Answer {
    let person = format!("person-{ending}");
    let number = json!({"number": format!("+49 151 1234 {ending}"), "verified": true});
    client.post(&format!("/v1/persons/{person}/mobile_number"), number).await;
    client.post(SMS_CHALLENGES, json!({"person_id": person})).await
}

async fn last_message(client: &TestClient) -> Value {
    client.get("/sandbox/messages").await.assert_status(200).json()[0].take()
}

async fn each_ending_selects_the_answer_of_the_provider(app: TestApp) {
    let acme = client(&app, &[CONSOLE]).await;
    for (ending, status, listed) in [
        ("0001", 502, "rejected"),
        ("0002", 502, "throttled"),
        ("0004", 502, "failed"),
        ("0005", 201, "uncertain"),
        ("0000", 201, "sent"),
        ("0006", 201, "sent"),
    ] {
        let answer = send_to(&acme, ending).await;
        answer.assert_status(status);
        let message = last_message(&acme).await;
        assert_eq!(message["status"], listed, "{ending}");
        if status == 502 {
            let detail = "the SMS could not be sent and the request had no effect; please retry";
            answer.assert_error(502, "bad_gateway", detail);
        } else {
            let id = answer.json()["id"].as_str().expect("an id").to_owned();
            let code = message["code"].as_str().expect("a code").to_owned();
            acme.type_code(&id, &code).await.assert_status(204);
        }
    }
}

async fn a_hanging_provider_ends_with_its_timeout(app: TestApp) {
    let acme = client(&app, &[CONSOLE, ("SMS_TIMEOUT_MS", "2500"), ("REQUESTS_AT_ONCE", "1")]).await;
    let started = Instant::now();
    send_to(&acme, "0003").await.assert_status(201);
    assert!(started.elapsed() >= Duration::from_millis(2500), "{:?}", started.elapsed());
    assert_eq!(last_message(&acme).await["status"], "uncertain");
    // The only permit is free again.
    send_to(&acme, "0000").await.assert_status(201);
}

async fn every_request_that_sends_a_code_fails_for_a_rejected_number(app: TestApp) {
    let acme = client(&app, &[CONSOLE]).await;
    send_to(&acme, "0001").await.assert_status(502);
    let number = json!({"number": "+4915112340001"});
    acme.post("/v1/persons/person-0001/mobile_number/authorize", number).await.assert_status(502);
    let wish = json!({"person_id": "person-0001", "key_type": "ecdsa-p256", "key": Phone::new(1).key()});
    acme.post("/v1/mfa/devices", wish).await.assert_status(502);
    assert_eq!(last_message(&acme).await["purpose"], "bind_device");
}

async fn an_open_circuit_does_not_disturb_other_numbers(app: TestApp) {
    let acme = client(&app, &[CONSOLE, ("SMS_BREAKER_FAILURES", "1"), ("SMS_BREAKER_SECONDS", "3600")]).await;
    send_to(&acme, "0005").await.assert_status(201);
    // The circuit of this ending is open: the provider is skipped.
    send_to(&acme, "0005").await.assert_status(502);
    assert_eq!(last_message(&acme).await["status"], "failed");
    for (ending, status, listed) in [("0000", 201, "sent"), ("0001", 502, "rejected"), ("0004", 502, "failed")] {
        send_to(&acme, ending).await.assert_status(status);
        assert_eq!(last_message(&acme).await["status"], listed, "{ending}");
    }
    send_to(&acme, "0000").await.assert_status(201);
}

/// The settings of a gateway that accepts every message.
async fn gateway() -> (MockServer, String) {
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(ResponseTemplate::new(202)).mount(&server).await;
    let url = server.uri();
    (server, url)
}

async fn a_failing_console_fails_over_to_the_next_provider(app: TestApp) {
    let (gateway, url) = gateway().await;
    let settings =
        [("SMS_PROVIDERS", "console,webhook"), ("SMS_WEBHOOK_URL", &*url), ("SMS_WEBHOOK_TOKEN", "gateway-token")];
    let acme = client(&app, &settings).await;
    for (ending, status, listed, by_gateway) in [
        ("0004", 201, "sent", 1),
        ("0002", 201, "sent", 2),
        ("0001", 502, "rejected", 2),
        ("0005", 201, "uncertain", 2),
        ("0000", 201, "sent", 2),
    ] {
        send_to(&acme, ending).await.assert_status(status);
        assert_eq!(last_message(&acme).await["status"], listed, "{ending}");
        assert_eq!(gateway.received_requests().await.unwrap().len(), by_gateway, "{ending}");
    }
}

async fn with_a_real_provider_the_endings_have_no_meaning(app: TestApp) {
    let (gateway, url) = gateway().await;
    let settings = [("SMS_PROVIDERS", "webhook"), ("SMS_WEBHOOK_URL", &*url), ("SMS_WEBHOOK_TOKEN", "gateway-token")];
    let acme = client(&app, &settings).await;
    for ending in ENDINGS {
        send_to(&acme, ending).await.assert_status(201);
        assert_eq!(last_message(&acme).await["status"], "sent", "{ending}");
    }
    assert_eq!(gateway.received_requests().await.unwrap().len(), ENDINGS.len());
}
