//! Settling: replicas add their counts of sent and used codes to the database, in any order and any number of times.

use std::sync::Arc;

use chrono::TimeDelta;
use device_management::domain::numbers::country::Country;
use device_management::domain::person::PartnerId;
use device_management::domain::sms::conversion::{Destination, Tally};
use device_management::store::{ExpiredRows, SWEEP_BATCH, SentMinute};
use serde_json::json;

use super::{AUSTRIAN, GERMAN, JUDGED, LATER, Watched, ask_for_code, assert_paused, pump, router, settle, trip};
use crate::harness::sql::texts;
use crate::harness::{Phone, TestApp, on_both_databases};

on_both_databases![
    replicas_judge_by_the_sum_of_their_counts,
    a_use_counts_on_any_replica,
    an_answer_repeated_in_parallel_is_one_use,
    counts_that_could_not_be_settled_are_settled_later,
    additions_in_parallel_lose_nothing,
    only_minutes_outside_the_window_are_removed,
    a_new_replica_enforces_the_counts_of_the_others,
];

async fn replicas_judge_by_the_sum_of_their_counts(Watched(app): Watched) {
    let here = app.partner();
    let replica = app.another(&super::RULE).await;
    let there = here.through(router(&replica));
    pump(&here, GERMAN, 5).await;
    pump(&there, GERMAN, 5).await;
    for app in [&app.app, &replica] {
        settle(app).await;
    }
    app.advance(JUDGED);
    for (app, client) in [(&app.app, &here), (&replica, &there)] {
        settle(app).await;
        assert_paused(&ask_for_code(client, "ada", GERMAN).await);
    }
}

async fn a_use_counts_on_any_replica(Watched(app): Watched) {
    let here = app.partner();
    let replica = app.another(&super::RULE).await;
    let there = here.through(router(&replica));
    pump(&here, GERMAN, 8).await;
    let mut tokens = Vec::new();
    for person in ["ada", "bea"] {
        ask_for_code(&here, person, GERMAN).await.assert_status(201);
        tokens.push((person, app.outbox().last().code()));
    }
    app.advance(LATER);
    for (person, token) in tokens {
        let path = format!("/v1/persons/{person}/mobile_number/confirm");
        there.post(&path, json!({"number": GERMAN, "token": token})).await.assert_status(201);
    }
    settle(&app.app).await;
    settle(&replica).await;
    assert_eq!(tallies(&app).await, [(10, 2)]);
    // The minute of the codes is judged now, the minute of the answers is not yet.
    app.advance(JUDGED - LATER);
    settle(&app.app).await;
    ask_for_code(&here, "cyd", GERMAN).await.assert_status(201);
}

async fn an_answer_repeated_in_parallel_is_one_use(Watched(app): Watched) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let phone = Phone::new(1);
    let asked = acme.ask_for_device("ada", &phone).await;
    let signature = phone.sign(&app.outbox().last().code());
    let answers: Vec<_> = (0..20)
        .map(|_| {
            let (client, challenge, signature) = (acme.clone(), asked.id.clone(), signature.clone());
            tokio::spawn(async move { client.answer(&challenge, &signature).await })
        })
        .collect();
    for answer in answers {
        answer.await.unwrap().assert_status(204);
    }
    settle(&app.app).await;
    assert_eq!(tallies(&app).await, [(1, 1)]);
}

async fn counts_that_could_not_be_settled_are_settled_later(Watched(app): Watched) {
    pump(&app.partner(), GERMAN, 10).await;
    let table = |from: &str, to: &str| format!("alter table {from} rename to {to}");
    texts(app.database.url(), &table("sms_conversion", "elsewhere")).await;
    app.app.service.settle_conversion().await.expect_err("the table is renamed");
    texts(app.database.url(), &table("elsewhere", "sms_conversion")).await;
    settle(&app.app).await;
    settle(&app.app).await;
    assert_eq!(tallies(&app).await, [(10, 0)]);
}

async fn additions_in_parallel_lose_nothing(app: TestApp) {
    let of_country = |country| [0, 1].map(|minute| (sent("acme", country, minute), Tally { sent: 3, used: 2 }));
    let counts: Arc<Vec<_>> = Arc::new(["AT", "CH", "DE"].into_iter().flat_map(of_country).collect());
    let flushes: Vec<_> = (0..40)
        .map(|_| {
            let (service, counts) = (app.app.service.clone(), counts.clone());
            tokio::spawn(async move { service.store.add_sms_conversion(&counts).await })
        })
        .collect();
    for flush in flushes {
        flush.await.unwrap().unwrap();
    }
    // Two minutes for each country, forty times.
    assert_eq!(tallies(&app).await, [(240, 160); 3]);
}

/// There are more rows than a batch; housekeeping repeats until none is left.
async fn only_minutes_outside_the_window_are_removed(app: TestApp) {
    let minutes = i64::try_from(SWEEP_BATCH).unwrap() + 3;
    let counts: Vec<_> = (0..minutes).map(|minute| (sent("acme", "DE", minute), Tally { sent: 1, used: 0 })).collect();
    app.store().add_sms_conversion(&counts).await.unwrap();
    let before = counts[SWEEP_BATCH + 1].0.minute;
    assert_eq!(app.store().sweep(ExpiredRows::Conversion, before).await.unwrap(), SWEEP_BATCH);
    assert_eq!(app.store().sweep(ExpiredRows::Conversion, before).await.unwrap(), 1);
    assert_eq!(app.store().sweep(ExpiredRows::Conversion, before).await.unwrap(), 0);
    assert_eq!(tallies(&app).await, [(2, 0)]);
    app.store().add_sms_conversion(&counts).await.unwrap();
    app.advance(TimeDelta::days(3));
    app.app.service.keep_house().await.unwrap();
    assert_eq!(tallies(&app).await, Vec::<(i64, i64)>::new());
}

async fn a_new_replica_enforces_the_counts_of_the_others(Watched(app): Watched) {
    trip(&app, &app.partner(), GERMAN).await;
    let replica = app.another(&super::RULE).await;
    let client = app.partner().through(router(&replica));
    settle(&replica).await;
    assert_paused(&ask_for_code(&client, "ada", GERMAN).await);
    ask_for_code(&client, "bea", AUSTRIAN).await.assert_status(201);
}

fn sent(partner: &str, country: &str, minute: i64) -> SentMinute {
    let destination =
        Destination { partner: PartnerId::parse(partner).unwrap(), country: Country::parse(country).unwrap() };
    let beginning: chrono::DateTime<chrono::Utc> = "2022-03-18T14:50:00Z".parse().unwrap();
    SentMinute { destination, minute: beginning + TimeDelta::minutes(minute) }
}

/// Codes sent and used, for each partner and country in order.
async fn tallies(app: &TestApp) -> Vec<(i64, i64)> {
    let always = sent("acme", "DE", -1000).minute..sent("acme", "DE", 1000).minute;
    let sums = app.store().sms_conversion(always.clone(), always.end).await.unwrap();
    sums.into_iter().map(|sum| (sum.tally.sent, sum.tally.used)).collect()
}
