//! The rule against SMS pumping: when sending to a country stops, for which partner, and when it resumes.

use chrono::TimeDelta;
use serde_json::json;

use super::{
    AUSTRIAN, FORGOTTEN, GERMAN, JUDGED, LATER, Watched, ask_for_code, ask_for_device, assert_paused, pump, settle,
    trip, use_code,
};
use crate::harness::{Network, Phone, TestApp, TestClient, on_both_databases};

on_both_databases![
    unused_codes_stop_sending_to_one_country_of_one_partner,
    nothing_is_stored_or_sent_while_sending_is_stopped,
    a_request_for_a_device_is_refused_like_one_for_a_confirmation,
    enough_used_codes_keep_sending_open,
    a_bound_device_counts_as_a_used_code,
    a_repeated_answer_counts_as_one_use,
    a_burst_of_codes_is_not_judged_before_they_expire,
    fewer_codes_than_the_minimum_do_not_stop_sending,
    a_code_that_no_provider_took_does_not_count_as_sent,
    sending_resumes_when_the_unused_codes_have_left_the_window,
    retry_after_lasts_until_the_unused_codes_have_left_the_window,
    a_dry_run_refuses_no_request,
    limits_that_are_off_count_nothing,
    a_minimum_of_zero_percent_turns_the_rule_off,
];

async fn unused_codes_stop_sending_to_one_country_of_one_partner(Watched(app): Watched) {
    let (acme, globex) = (app.partner(), app.other_partner());
    trip(&app, &acme, GERMAN).await;
    assert_paused(&ask_for_code(&acme, "bea", "+4915187654321").await);
    ask_for_code(&acme, "cyd", AUSTRIAN).await.assert_status(201);
    ask_for_code(&globex, "ada", GERMAN).await.assert_status(201);
}

async fn nothing_is_stored_or_sent_while_sending_is_stopped(Watched(app): Watched) {
    let acme = app.partner();
    // This code is open when sending stops; the refused requests afterwards must not end it.
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

async fn a_request_for_a_device_is_refused_like_one_for_a_confirmation(Watched(app): Watched) {
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

async fn enough_used_codes_keep_sending_open(Watched(app): Watched) {
    let acme = app.partner();
    // Two used codes of ten are exactly 20 %.
    pump(&acme, GERMAN, 8).await;
    for person in ["ada", "bea"] {
        use_code(&app, &acme, person, GERMAN).await;
    }
    settle(&app.app).await;
    app.advance(JUDGED);
    settle(&app.app).await;
    ask_for_code(&acme, "cyd", GERMAN).await.assert_status(201);
}

async fn a_bound_device_counts_as_a_used_code(Watched(app): Watched) {
    let acme = app.partner();
    pump(&acme, GERMAN, 8).await;
    bind_two(&app, &acme).await;
    settle(&app.app).await;
    app.advance(JUDGED - LATER);
    settle(&app.app).await;
    ask_for_code(&acme, "ada", GERMAN).await.assert_status(201);
}

async fn a_repeated_answer_counts_as_one_use(Watched(app): Watched) {
    let acme = app.partner();
    pump(&acme, GERMAN, 9).await;
    bind_two(&app, &acme).await;
    settle(&app.app).await;
    app.advance(JUDGED - LATER);
    settle(&app.app).await;
    assert_paused(&ask_for_code(&acme, "ada", GERMAN).await);
}

/// Two persons bind a device each, four minutes after the request, and each sends the answer twice.
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

async fn a_burst_of_codes_is_not_judged_before_they_expire(Watched(app): Watched) {
    let acme = app.partner();
    pump(&acme, GERMAN, 40).await;
    // The codes are judged only after the last of them has expired.
    let started = TimeDelta::seconds(4); // past the minute
    app.advance(JUDGED - started - TimeDelta::seconds(1));
    settle(&app.app).await;
    ask_for_code(&acme, "ada", GERMAN).await.assert_status(201);
    app.advance(TimeDelta::seconds(1));
    settle(&app.app).await;
    assert_paused(&ask_for_code(&acme, "ada", GERMAN).await);
}

async fn fewer_codes_than_the_minimum_do_not_stop_sending(Watched(app): Watched) {
    let acme = app.partner();
    pump(&acme, GERMAN, 9).await;
    settle(&app.app).await;
    app.advance(JUDGED);
    settle(&app.app).await;
    ask_for_code(&acme, "ada", GERMAN).await.assert_status(201);
}

async fn a_code_that_no_provider_took_does_not_count_as_sent(Watched(app): Watched) {
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

async fn sending_resumes_when_the_unused_codes_have_left_the_window(Watched(app): Watched) {
    let acme = app.partner();
    trip(&app, &acme, GERMAN).await;
    app.advance(FORGOTTEN - JUDGED - TimeDelta::minutes(1));
    settle(&app.app).await;
    assert_paused(&ask_for_code(&acme, "ada", GERMAN).await);
    app.advance(TimeDelta::minutes(1));
    settle(&app.app).await;
    ask_for_code(&acme, "ada", GERMAN).await.assert_status(201);
}

async fn retry_after_lasts_until_the_unused_codes_have_left_the_window(Watched(app): Watched) {
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
    // At least a minute, because the rule is evaluated per minute.
    assert_eq!(wait("ada").await, 60);
    app.advance(TimeDelta::seconds(31));
    settle(&app.app).await;
    ask_for_code(&acme, "ada", GERMAN).await.assert_status(201);
}

async fn a_dry_run_refuses_no_request(Watched(app): Watched) {
    let dry = app.another(&[&super::RULE[1..], &[("SMS_LIMITS", "dry-run")]].concat()).await;
    let acme = app.partner().through(super::router(&dry));
    pump(&acme, GERMAN, 10).await;
    settle(&dry).await;
    app.advance(JUDGED);
    settle(&dry).await;
    ask_for_code(&acme, "ada", GERMAN).await.assert_status(201);
    // A replica that enforces the rule refuses on the same counts.
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

async fn a_minimum_of_zero_percent_turns_the_rule_off(Watched(app): Watched) {
    trip(&app, &app.partner(), GERMAN).await;
    let without_rule = app.another(&[&super::RULE[..3], &[("SMS_CONVERSION_MIN_PERCENT", "0")]].concat()).await;
    settle(&without_rule).await;
    ask_for_code(&app.partner().through(super::router(&without_rule)), "ada", GERMAN).await.assert_status(201);
}
