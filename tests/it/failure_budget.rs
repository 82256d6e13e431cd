//! The failure budget: one per person of a partner, across challenges, keys, numbers and replicas.

use chrono::TimeDelta;
use serde_json::json;

use crate::harness::{Answer, Phone, TestApp, TestClient, on_both_databases};

on_both_databases![
    a_fifth_failure_in_a_row_begins_the_cool_down,
    a_new_challenge_does_not_reset_the_count,
    a_success_resets_the_count,
    old_failures_are_forgotten_after_the_window,
    failures_almost_half_an_hour_apart_are_in_a_row,
    the_window_starts_again_with_each_failure,
    a_clock_that_was_far_ahead_causes_no_pause,
    failures_do_not_affect_other_persons_or_partners,
    wrong_signatures_for_keys_and_wrong_tokens_count_too,
    a_right_signature_is_refused_during_the_cool_down,
    another_replica_sees_the_same_budget,
    two_hundred_wrong_answers_in_parallel_spend_one_budget,
];

const COOLING: &str = "too many failed attempts; wait and start again";

/// Sends `times` wrong signatures, over as many challenges as needed.
async fn fail(client: &TestClient, person: &str, phone: &Phone, times: usize) {
    let mut asked = client.ask_for_device(person, phone).await;
    for failure in 0..times {
        if failure > 0 && failure % 3 == 0 {
            asked = client.ask_for_device(person, phone).await;
        }
        client.answer(&asked.id, &phone.sign("wrong")).await.assert_error(403, "invalid_tan", "the signature is wrong");
    }
}

async fn ask(client: &TestClient, person: &str, phone: &Phone) -> Answer {
    let body = json!({"person_id": person, "key_type": "ecdsa-p256", "key": phone.key()});
    client.post("/v1/mfa/devices", body).await
}

fn assert_cooling(answer: &Answer, retry_after: &str) {
    answer.assert_error(429, "too_many_requests", COOLING);
    assert_eq!(answer.headers["retry-after"], retry_after);
}

async fn a_fifth_failure_in_a_row_begins_the_cool_down(app: TestApp) {
    let (acme, phone) = (app.partner(), Phone::new(1));
    acme.verified_person("ada").await;
    fail(&acme, "ada", &phone, 5).await;
    app.advance(TimeDelta::milliseconds(500));
    assert_cooling(&ask(&acme, "ada", &phone).await, "1800");
    app.advance(TimeDelta::minutes(30) - TimeDelta::milliseconds(501));
    assert_cooling(&ask(&acme, "ada", &phone).await, "1");
    app.advance(TimeDelta::milliseconds(1));
    acme.bind("ada", &phone).await;
}

async fn a_new_challenge_does_not_reset_the_count(app: TestApp) {
    let (acme, phone) = (app.partner(), Phone::new(1));
    acme.verified_person("ada").await;
    fail(&acme, "ada", &phone, 2).await;
    fail(&acme, "ada", &phone, 2).await;
    let asked = acme.ask_for_device("ada", &phone).await;
    acme.answer(&asked.id, &phone.sign("wrong")).await.assert_status(403);
    let code = app.outbox().last().code();
    assert_cooling(&acme.answer(&asked.id, &phone.sign(&code)).await, "1800");
    acme.get("/v1/mfa/devices?person_id=ada").await.assert_status(200);
}

async fn a_success_resets_the_count(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    for seed in 1..4 {
        fail(&acme, "ada", &Phone::new(seed), 4).await;
        acme.bind("ada", &Phone::new(seed)).await;
    }
}

async fn old_failures_are_forgotten_after_the_window(app: TestApp) {
    let (acme, phone) = (app.partner(), Phone::new(1));
    acme.verified_person("ada").await;
    fail(&acme, "ada", &phone, 4).await;
    app.advance(TimeDelta::minutes(30));
    fail(&acme, "ada", &phone, 4).await;
    acme.bind("ada", &phone).await;
}

async fn failures_almost_half_an_hour_apart_are_in_a_row(app: TestApp) {
    let (acme, phone) = (app.partner(), Phone::new(1));
    acme.verified_person("ada").await;
    for _ in 0..5 {
        app.advance(TimeDelta::minutes(30) - TimeDelta::microseconds(1));
        // Each round needs a new access token, because tokens expire sooner.
        fail(&app.partner(), "ada", &phone, 1).await;
    }
    assert_cooling(&ask(&app.partner(), "ada", &phone).await, "1800");
}

async fn the_window_starts_again_with_each_failure(app: TestApp) {
    let (acme, phone) = (app.partner(), Phone::new(1));
    acme.verified_person("ada").await;
    fail(&acme, "ada", &phone, 1).await;
    app.advance(TimeDelta::minutes(30) - TimeDelta::seconds(2));
    fail(&acme, "ada", &phone, 3).await;
    app.advance(TimeDelta::seconds(2));
    fail(&acme, "ada", &phone, 1).await;
    assert_cooling(&ask(&acme, "ada", &phone).await, "1800");
}

async fn a_clock_that_was_far_ahead_causes_no_pause(app: TestApp) {
    let (acme, phone) = (app.partner(), Phone::new(1));
    acme.verified_person("ada").await;
    app.advance(TimeDelta::minutes(29));
    fail(&acme, "ada", &phone, 5).await;
    app.advance(-TimeDelta::minutes(29));
    // A clock that was a little ahead: the pause keeps its end.
    assert_cooling(&ask(&acme, "ada", &phone).await, "3540");
    app.advance(TimeDelta::minutes(59));
    app.partner().bind("ada", &phone).await;
    app.advance(TimeDelta::days(365));
    fail(&app.partner(), "ada", &Phone::new(2), 5).await;
    app.advance(-TimeDelta::days(365));
    app.partner().bind("ada", &Phone::new(2)).await;
}

async fn failures_do_not_affect_other_persons_or_partners(app: TestApp) {
    let (acme, globex) = (app.partner(), app.other_partner());
    for (client, person) in [(&acme, "ada"), (&acme, "bob"), (&globex, "ada")] {
        client.verified_person(person).await;
    }
    fail(&acme, "ada", &Phone::new(1), 5).await;
    acme.bind("bob", &Phone::new(2)).await;
    globex.bind("ada", &Phone::new(3)).await;
    app.stranger().answer("6642d15e-8f6b-4d28-9186-cdd61d80032a", "00").await.assert_status(401);
}

async fn wrong_signatures_for_keys_and_wrong_tokens_count_too(app: TestApp) {
    let (acme, phone) = (app.partner(), Phone::new(1));
    acme.verified_person("ada").await;
    let bound = acme.bind("ada", &phone).await;
    let number = "/v1/persons/ada/mobile_number";
    let numbered = json!({"number": crate::harness::NUMBER});
    acme.post(&format!("{number}/authorize"), numbered.clone()).await.assert_status(201);
    let right = app.outbox().last().code();
    let wrong = if right == "000000" { "000001" } else { "000000" };
    let confirm = async |token: &str| {
        let body = json!({"number": crate::harness::NUMBER, "token": token});
        acme.post(&format!("{number}/confirm"), body).await
    };
    let add_key = async |signature: String| {
        let device_signature = json!({"signature_key_purpose": "unrestricted", "signature": signature});
        let body = json!({"key": Phone::new(2).key(), "key_type": "ecdsa-p256", "device_signature": device_signature});
        acme.post(&format!("/v1/mfa/devices/{}/keys", bound.id), body).await
    };
    confirm(wrong).await.assert_status(403);
    confirm(wrong).await.assert_status(403);
    for _ in 0..3 {
        add_key(phone.sign("wrong")).await.assert_status(403);
    }
    assert_cooling(&add_key(phone.sign(&Phone::new(2).key())).await, "1800");
    assert_cooling(&confirm(&right).await, "1800");
    assert_cooling(&acme.post(&format!("{number}/authorize"), numbered).await, "1800");
    assert_cooling(&ask(&acme, "ada", &Phone::new(3)).await, "1800");
}

async fn a_right_signature_is_refused_during_the_cool_down(app: TestApp) {
    let (acme, phone) = (app.partner(), Phone::new(1));
    acme.verified_person("ada").await;
    fail(&acme, "ada", &phone, 3).await;
    let asked = acme.ask_for_device("ada", &phone).await;
    let code = app.outbox().last().code();
    acme.answer(&asked.id, &phone.sign("wrong")).await.assert_status(403);
    acme.answer(&asked.id, &phone.sign("wrong")).await.assert_status(403);
    assert_cooling(&acme.answer(&asked.id, &phone.sign(&code)).await, "1800");
    acme.get(&format!("/v1/mfa/devices/{}", asked.id)).await.assert_status(404);
}

async fn another_replica_sees_the_same_budget(app: TestApp) {
    let (acme, phone) = (app.partner(), Phone::new(1));
    let other = acme.through(app.replica(&[]).await);
    acme.verified_person("ada").await;
    fail(&acme, "ada", &phone, 3).await;
    fail(&other, "ada", &phone, 2).await;
    assert_cooling(&ask(&acme, "ada", &phone).await, "1800");
    assert_cooling(&ask(&other, "ada", &phone).await, "1800");
}

async fn two_hundred_wrong_answers_in_parallel_spend_one_budget(app: TestApp) {
    let (acme, phone) = (app.partner(), Phone::new(1));
    acme.verified_person("ada").await;
    let mut counted = 0;
    for _ in 0..2 {
        let asked = acme.ask_for_device("ada", &phone).await;
        let wrong = phone.sign("wrong");
        let guesses = (0..100).map(|_| {
            let (acme, id, wrong) = (acme.clone(), asked.id.clone(), wrong.clone());
            tokio::spawn(async move { acme.answer(&id, &wrong).await.status.as_u16() })
        });
        for guess in guesses.collect::<Vec<_>>() {
            let status = guess.await.expect("the request ends");
            assert!(matches!(status, 403 | 404 | 429), "{status}");
            counted += usize::from(status == 403);
        }
    }
    assert_eq!(counted, 5, "three failures in the first challenge, two in the second");
    assert_cooling(&ask(&acme, "ada", &phone).await, "1800");
}
