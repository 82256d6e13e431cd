//! When sending stops, for whom, and when it goes on.

use chrono::TimeDelta;
use serde_json::json;

use super::{
    AUSTRIAN, FORGOTTEN, GERMAN, JUDGED, LATER, Watched, ask_for_code, ask_for_device, assert_paused, pump, settle,
    trip, use_code,
};
use crate::harness::{Network, Phone, TestApp, TestClient, on_both_databases};

on_both_databases![
    pumping_stops_the_partners_codes_to_that_country_and_nothing_else,
    nothing_is_stored_or_sent_while_it_is_stopped,
    a_device_is_refused_like_a_number,
    honest_traffic_goes_on,
    devices_bound_are_codes_used,
    a_repeated_answer_is_no_second_use,
    a_burst_of_good_requests_is_not_held_against_anybody,
    fewer_codes_than_the_minimum_are_no_evidence,
    a_code_that_no_provider_took_was_not_sent,
    it_recovers_when_the_bad_minutes_have_left_the_window,
    the_wait_is_until_the_last_code_is_forgotten,
    a_dry_run_refuses_nobody,
    limits_that_are_off_count_nothing,
    a_minimum_of_zero_percent_turns_it_off,
];

async fn pumping_stops_the_partners_codes_to_that_country_and_nothing_else(Watched(app): Watched) {
    let (acme, globex) = (app.partner(), app.other_partner());
    trip(&app, &acme, GERMAN).await;
    assert_paused(&ask_for_code(&acme, "bea", "+4915187654321").await);
    ask_for_code(&acme, "cyd", AUSTRIAN).await.assert_status(201);
    ask_for_code(&globex, "ada", GERMAN).await.assert_status(201);
}

async fn nothing_is_stored_or_sent_while_it_is_stopped(Watched(app): Watched) {
    let acme = app.partner();
    // This code is open when sending stops, and what is refused afterwards must not end it.
    pump(&acme, GERMAN, 10).await;
    app.advance(JUDGED - TimeDelta::minutes(1));
    ask_for_code(&acme, "ada", GERMAN).await.assert_status(201);
    let token = app.outbox().last().code();
    app.advance(TimeDelta::minutes(1));
    settle(&app.app).await;
    let sent = app.outbox().messages().len();
    assert_paused(&ask_for_code(&acme, "ada", GERMAN).await);
    assert_eq!(app.outbox().messages().len(), sent);
    let confirmation = json!({"number": GERMAN, "token": token});
    acme.post("/v1/persons/ada/mobile_number/confirm", confirmation).await.assert_status(201);
}

async fn a_device_is_refused_like_a_number(Watched(app): Watched) {
    let acme = app.partner();
    acme.verified_person("eve").await;
    let phone = Phone::new(1);
    for _ in 0..10 {
        acme.ask_for_device("eve", &phone).await;
    }
    settle(&app.app).await;
    app.advance(JUDGED);
    settle(&app.app).await;
    let sent = app.outbox().messages().len();
    assert_eq!(sent, 10);
    assert_paused(&ask_for_device(&acme, "eve", &phone).await);
    assert_eq!(app.outbox().messages().len(), sent);
    assert_paused(&ask_for_code(&acme, "ada", GERMAN).await);
}

async fn honest_traffic_goes_on(Watched(app): Watched) {
    let acme = app.partner();
    // Two of ten are just enough.
    pump(&acme, GERMAN, 8).await;
    for person in ["ada", "bea"] {
        use_code(&app, &acme, person, GERMAN).await;
    }
    settle(&app.app).await;
    app.advance(JUDGED);
    settle(&app.app).await;
    ask_for_code(&acme, "cyd", GERMAN).await.assert_status(201);
}

async fn devices_bound_are_codes_used(Watched(app): Watched) {
    let acme = app.partner();
    pump(&acme, GERMAN, 8).await;
    bind_two(&app, &acme).await;
    settle(&app.app).await;
    app.advance(JUDGED - LATER);
    settle(&app.app).await;
    ask_for_code(&acme, "ada", GERMAN).await.assert_status(201);
}

async fn a_repeated_answer_is_no_second_use(Watched(app): Watched) {
    let acme = app.partner();
    pump(&acme, GERMAN, 9).await;
    bind_two(&app, &acme).await;
    settle(&app.app).await;
    app.advance(JUDGED - LATER);
    settle(&app.app).await;
    assert_paused(&ask_for_code(&acme, "ada", GERMAN).await);
}

/// Two persons bind a device each, four minutes after they asked, and each sends the answer twice.
async fn bind_two(app: &TestApp, acme: &TestClient) {
    let mut answers = Vec::new();
    for (seed, person) in [(1, "eve"), (2, "fay")] {
        acme.verified_person(person).await;
        let phone = Phone::new(seed);
        let asked = acme.ask_for_device(person, &phone).await;
        answers.push((asked.id, phone.sign(&app.outbox().last().code())));
    }
    app.advance(LATER);
    for (challenge, signature) in [&answers[..], &answers].concat() {
        acme.answer(&challenge, &signature).await.assert_status(204);
    }
}

async fn a_burst_of_good_requests_is_not_held_against_anybody(Watched(app): Watched) {
    let acme = app.partner();
    pump(&acme, GERMAN, 40).await;
    // Until the last of these codes can no longer be used, nobody knows how many will be.
    let started = TimeDelta::seconds(4); // past the minute
    app.advance(JUDGED - started - TimeDelta::seconds(1));
    settle(&app.app).await;
    ask_for_code(&acme, "ada", GERMAN).await.assert_status(201);
    app.advance(TimeDelta::seconds(1));
    settle(&app.app).await;
    assert_paused(&ask_for_code(&acme, "ada", GERMAN).await);
}

async fn fewer_codes_than_the_minimum_are_no_evidence(Watched(app): Watched) {
    let acme = app.partner();
    pump(&acme, GERMAN, 9).await;
    settle(&app.app).await;
    app.advance(JUDGED);
    settle(&app.app).await;
    ask_for_code(&acme, "ada", GERMAN).await.assert_status(201);
}

async fn a_code_that_no_provider_took_was_not_sent(Watched(app): Watched) {
    let acme = app.partner();
    app.network(Network::IsDown);
    for person in 0..20 {
        ask_for_code(&acme, &format!("person-{person}"), GERMAN).await.assert_status(502);
    }
    app.network(Network::Works);
    settle(&app.app).await;
    app.advance(JUDGED);
    settle(&app.app).await;
    ask_for_code(&acme, "ada", GERMAN).await.assert_status(201);
}

async fn it_recovers_when_the_bad_minutes_have_left_the_window(Watched(app): Watched) {
    let acme = app.partner();
    trip(&app, &acme, GERMAN).await;
    app.advance(FORGOTTEN - JUDGED - TimeDelta::minutes(1));
    settle(&app.app).await;
    assert_paused(&ask_for_code(&acme, "ada", GERMAN).await);
    app.advance(TimeDelta::minutes(1));
    settle(&app.app).await;
    ask_for_code(&acme, "ada", GERMAN).await.assert_status(201);
}

async fn the_wait_is_until_the_last_code_is_forgotten(Watched(app): Watched) {
    let acme = app.partner();
    trip(&app, &acme, GERMAN).await;
    let wait = async |person| {
        let answer = ask_for_code(&acme, person, GERMAN).await;
        assert_paused(&answer);
        answer.headers["retry-after"].to_str().unwrap().parse::<i64>().unwrap()
    };
    let seconds = wait("ada").await;
    assert!(seconds > 60, "{seconds}");
    app.advance(TimeDelta::seconds(seconds - 30));
    // Never less than a minute: how sending goes on is decided by the minute.
    assert_eq!(wait("ada").await, 60);
    app.advance(TimeDelta::seconds(31));
    settle(&app.app).await;
    ask_for_code(&acme, "ada", GERMAN).await.assert_status(201);
}

async fn a_dry_run_refuses_nobody(Watched(app): Watched) {
    let dry = app.another(&[&super::RULE[1..], &[("SMS_LIMITS", "dry-run")]].concat()).await;
    let acme = app.partner().through(super::router(&dry));
    pump(&acme, GERMAN, 10).await;
    settle(&dry).await;
    app.advance(JUDGED);
    settle(&dry).await;
    ask_for_code(&acme, "ada", GERMAN).await.assert_status(201);
    // It would have been refused: who enforces the same rule on the same counts does.
    settle(&app.app).await;
    assert_paused(&ask_for_code(&app.partner(), "ada", GERMAN).await);
}

async fn limits_that_are_off_count_nothing(Watched(app): Watched) {
    let off = app.another(&[&super::RULE[1..], &[("SMS_LIMITS", "off")]].concat()).await;
    let acme = app.partner().through(super::router(&off));
    pump(&acme, GERMAN, 10).await;
    settle(&off).await;
    app.advance(JUDGED);
    settle(&app.app).await;
    ask_for_code(&app.partner(), "ada", GERMAN).await.assert_status(201);
}

async fn a_minimum_of_zero_percent_turns_it_off(Watched(app): Watched) {
    trip(&app, &app.partner(), GERMAN).await;
    let careless = app.another(&[&super::RULE[..3], &[("SMS_CONVERSION_MIN_PERCENT", "0")]].concat()).await;
    settle(&careless).await;
    ask_for_code(&app.partner().through(super::router(&careless)), "ada", GERMAN).await.assert_status(201);
}
