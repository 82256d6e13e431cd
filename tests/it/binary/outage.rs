//! An outage of the database, and the recovery.

use std::time::Instant;

use serde_json::{Value, json};

use super::{PATIENCE, fail};
use crate::activation_codes::{
    Letter, activation_code, activation_wish, ask_by_letter, binding_by_letter, delivery_event,
};
use crate::harness::{
    ACTIVATION_CODES, Answer, DEVICE_CHALLENGES, Phone, PostgresServer, Program, SMS_CHALLENGES, TestClient,
    can_start_servers_for,
};

/// Repeats the readiness check until it has this status: each check detects one broken connection, and its result is
/// cached for a second.
async fn until_readiness_is(status: u16, client: &TestClient) -> Answer {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = client.get("/readyz").await;
        if answer.status == status {
            return answer;
        }
        assert!(Instant::now() < deadline, "not {status} in time");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_database_the_service_is_live_but_not_ready_and_recovers() {
    if !can_start_servers_for("binary::outage::without_its_database_the_service_is_live_but_not_ready_and_recovers") {
        return;
    }
    let mut postgres = PostgresServer::start(&[]).unwrap();
    let program = Program::new().with("DATABASE_URL", &postgres.url("postgres"));
    let service = program.with("DATABASE_ACQUIRE_TIMEOUT_SECONDS", "1").serve();
    let client = service.sandbox_client().await;
    client.get("/readyz").await.assert_status(200);
    client.verified_person("ada").await;
    let phone = Phone::new(1);
    let device = client.ask_for_device("ada", &phone).await.id;
    client.answer(&device, &phone.sign("212212")).await.assert_status(204);
    let letter = activation_code(&client, "ada").await;
    let requests = challenge_requests(&client, &device, &letter).await;

    postgres.stop().unwrap();
    let unready = until_readiness_is(503, &client).await;
    unready.assert_error(503, "service_unavailable", "the service is not available right now, please try again");
    assert!(unready.headers.contains_key("retry-after"));
    client.get("/healthz").await.assert_status(200);
    for (method, path, body) in requests {
        let refused = client.send(method, &path, body).await;
        assert_eq!(refused.status, 503, "{method} {path}");
        assert!(refused.headers.contains_key("retry-after"), "{method} {path}");
    }
    let address = service.base_url().replace("http://", "");
    let (code, message) = fail(&Program::new().with("HTTP_ADDR", &address), &["healthcheck"]);
    assert_eq!((code, message.as_str()), (1, "device-management: not ready: status 503 Service Unavailable"));

    postgres.start_again().unwrap();
    until_readiness_is(200, &client).await;
    client.get("/v1/persons/ada/mobile_number").await.assert_status(200);
    let challenge = client.challenge(&device).await;
    client.sign(&challenge.id, &phone.sign(&challenge.text)).await.assert_status(204);
    // The refused requests had no effect.
    assert_eq!(client.get(&letter.path()).await.assert_status(200).json()["code"], json!(letter.code));
}

/// A request for each way to read, open and answer a challenge.
async fn challenge_requests(
    client: &TestClient,
    device: &str,
    letter: &Letter,
) -> Vec<(&'static str, String, Option<Value>)> {
    let opened = client.challenge(device).await;
    let sms = client.post(SMS_CHALLENGES, json!({"person_id": "ada"})).await.assert_status(201).json();
    let binding = ask_by_letter(client, "ada", &Phone::new(2)).await;
    let device_challenge = format!("{DEVICE_CHALLENGES}/{}", opened.id);
    let sms_challenge = format!("{SMS_CHALLENGES}/{}", sms["id"].as_str().unwrap());
    let binding = format!("/v1/mfa/challenges/signatures/{binding}");
    let signature = json!({"signature": Phone::new(1).sign(&opened.text)});
    let replaced = format!("{ACTIVATION_CODES}?invalidate_existing_code=true");
    vec![
        ("GET", "/v1/mfa/devices".to_owned(), None),
        ("POST", DEVICE_CHALLENGES.to_owned(), Some(json!({"device_id": device}))),
        ("GET", device_challenge.clone(), None),
        ("PUT", device_challenge, Some(signature)),
        ("POST", SMS_CHALLENGES.to_owned(), Some(json!({"person_id": "ada"}))),
        ("GET", sms_challenge.clone(), None),
        ("PUT", sms_challenge, Some(json!({"code": "212212"}))),
        ("GET", ACTIVATION_CODES.to_owned(), None),
        ("POST", replaced, Some(activation_wish("ada"))),
        ("GET", letter.path(), None),
        ("DELETE", letter.path(), None),
        ("GET", format!("{}/delivery_events", letter.path()), None),
        ("POST", format!("{}/delivery_events", letter.path()), Some(delivery_event())),
        ("POST", "/v1/mfa/devices".to_owned(), Some(binding_by_letter("ada", &Phone::new(3)))),
        ("GET", binding.clone(), None),
        ("PUT", binding, Some(json!({"signature": Phone::new(2).sign(&letter.code)}))),
    ]
}
