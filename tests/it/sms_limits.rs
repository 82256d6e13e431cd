//! Limits for SMS per number, person and partner (docs/api-design.md#limits).

use chrono::TimeDelta;
use serde_json::json;

use crate::harness::{Answer, Engine, NUMBER, Network, Phone, Start, TestApp, TestClient, on_both_databases_and_citus};

on_both_databases_and_citus![
    a_second_message_within_half_a_minute_is_refused,
    a_sixth_message_within_ten_minutes_is_refused,
    a_new_number_does_not_reset_the_limit_of_a_person,
    persons_with_one_number_share_its_limit,
    bindings_and_confirmations_share_the_limit,
    another_partner_is_not_affected,
    a_message_that_no_provider_took_does_not_count,
    fifty_parallel_requests_on_two_replicas_send_one_sms,
];

/// A service that enforces its SMS limits.
struct Limited(TestApp);

impl Start for Limited {
    async fn start(engine: Engine) -> Self {
        Self(TestApp::with(engine, &[("SMS_LIMITS", "enforce")]).await)
    }
}

const REFUSED: &str = "too many messages were sent recently; wait before requesting another";

async fn ask(client: &TestClient, person: &str) -> Answer {
    let body = json!({"person_id": person, "key_type": "ecdsa-p256", "key": Phone::new(1).key()});
    client.post("/v1/mfa/devices", body).await
}

fn assert_refused(answer: &Answer, retry_after: &str) {
    answer.assert_error(429, "too_many_requests", REFUSED);
    assert_eq!(answer.headers["retry-after"], retry_after);
}

async fn a_second_message_within_half_a_minute_is_refused(Limited(app): Limited) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let first = ask(&acme, "ada").await.assert_status(202).json();
    app.advance(TimeDelta::seconds(10));
    assert_refused(&ask(&acme, "ada").await, "20");
    assert_eq!(app.outbox().messages().len(), 1);
    // The earlier challenge is still open.
    let id = first["id"].as_str().unwrap();
    acme.get(&format!("/v1/mfa/challenges/signatures/{id}")).await.assert_status(200);
    app.advance(TimeDelta::seconds(20));
    ask(&acme, "ada").await.assert_status(202);
}

async fn a_sixth_message_within_ten_minutes_is_refused(Limited(app): Limited) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    for _ in 0..5 {
        ask(&acme, "ada").await.assert_status(202);
        app.advance(TimeDelta::seconds(30));
    }
    assert_refused(&ask(&acme, "ada").await, "450");
    app.advance(TimeDelta::seconds(450));
    ask(&app.partner(), "ada").await.assert_status(202);
}

async fn a_new_number_does_not_reset_the_limit_of_a_person(Limited(app): Limited) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    ask(&acme, "ada").await.assert_status(202);
    let path = "/v1/persons/ada/mobile_number";
    acme.delete(path).await.assert_status(200);
    acme.post(path, json!({"number": "+4915187654321", "verified": true})).await.assert_status(201);
    assert_refused(&ask(&acme, "ada").await, "30");
}

async fn persons_with_one_number_share_its_limit(Limited(app): Limited) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    acme.verified_person("bob").await;
    ask(&acme, "ada").await.assert_status(202);
    assert_refused(&ask(&acme, "bob").await, "30");
}

async fn bindings_and_confirmations_share_the_limit(Limited(app): Limited) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let authorize = "/v1/persons/ada/mobile_number/authorize";
    acme.post(authorize, json!({"number": NUMBER})).await.assert_status(201);
    assert_refused(&ask(&acme, "ada").await, "30");
    app.advance(TimeDelta::seconds(30));
    ask(&acme, "ada").await.assert_status(202);
    assert_refused(&acme.post(authorize, json!({"number": NUMBER})).await, "30");
    assert_eq!(app.outbox().messages().len(), 2);
}

async fn another_partner_is_not_affected(Limited(app): Limited) {
    for client in [app.partner(), app.other_partner()] {
        client.verified_person("ada").await;
        ask(&client, "ada").await.assert_status(202);
    }
}

async fn a_message_that_no_provider_took_does_not_count(Limited(app): Limited) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    app.network(Network::IsDown);
    ask(&acme, "ada").await.assert_status(502);
    app.network(Network::Works);
    ask(&acme, "ada").await.assert_status(202);
    assert_refused(&ask(&acme, "ada").await, "30");
}

async fn fifty_parallel_requests_on_two_replicas_send_one_sms(Limited(app): Limited) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let other = acme.through(app.replica(&[("SMS_LIMITS", "enforce")]).await);
    let tasks: Vec<_> = (0..50)
        .map(|number| {
            let client = if number % 2 == 0 { acme.clone() } else { other.clone() };
            tokio::spawn(async move { ask(&client, "ada").await.status.as_u16() })
        })
        .collect();
    let mut accepted = 0;
    for task in tasks {
        match task.await.unwrap() {
            202 => accepted += 1,
            status => assert!([409, 429].contains(&status), "{status}"),
        }
    }
    assert_eq!((accepted, app.outbox().messages().len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partner_has_a_rate_and_a_burst() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        if !engine.is_there_for("a_partner_has_a_rate_and_a_burst").await {
            return;
        }
        let rate = [("LIMIT_SMS_PER_PARTNER_PER_SECOND", "1"), ("LIMIT_SMS_PER_PARTNER_BURST", "3")];
        let wide = [("LIMIT_SMS_PER_NUMBER", "1000/1h"), ("LIMIT_SMS_PER_PERSON", "1000/1h")];
        let app = TestApp::with(engine, &[&rate[..], &wide, &[("SMS_LIMITS", "enforce")]].concat()).await;
        let acme = app.partner();
        acme.verified_person("ada").await;
        for _ in 0..3 {
            ask(&acme, "ada").await.assert_status(202);
        }
        assert_refused(&ask(&acme, "ada").await, "1");
        app.advance(TimeDelta::seconds(1));
        ask(&acme, "ada").await.assert_status(202);
        assert_refused(&ask(&acme, "ada").await, "1");
        app.other_partner().verified_person("ada").await;
        ask(&app.other_partner(), "ada").await.assert_status(202);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_sends_what_it_would_refuse() {
    let app = TestApp::with(Engine::Sqlite, &[("SMS_LIMITS", "dry-run")]).await;
    let acme = app.partner();
    acme.verified_person("ada").await;
    for sent in 1..=3 {
        ask(&acme, "ada").await.assert_status(202);
        assert_eq!(app.outbox().messages().len(), sent);
    }
}
