//! The operator's commands for stopped countries: the list of counts, and the reset.

use chrono::TimeDelta;
use device_management::domain::numbers::country::Country;
use device_management::domain::person::PartnerId;
use device_management::domain::sms::conversion::Destination;
use device_management::service::ConversionBook;

use super::{AUSTRIAN, GERMAN, JUDGED, Watched, ask_for_code, assert_paused, pump, settle, trip, use_code};
use crate::harness::{TestApp, on_both_databases};

on_both_databases![
    a_reset_resumes_sending_immediately,
    a_reset_is_for_one_partner_and_one_country,
    after_a_reset_new_pumping_stops_it_again,
    the_list_shows_the_counts_of_all_partners,
];

fn book(app: &TestApp) -> ConversionBook<'_> {
    let service = &app.app.service;
    ConversionBook {
        store: &*service.store,
        clock: &*service.clock,
        entropy: &*service.entropy,
        policy: &service.policy,
    }
}

async fn resume(app: &TestApp, partner: &str, country: &str) {
    let partner = PartnerId::parse(partner).unwrap();
    book(app).resume(&Destination { partner, country: Country::parse(country).unwrap() }).await.unwrap();
    settle(&app.app).await;
}

async fn a_reset_resumes_sending_immediately(Watched(app): Watched) {
    let acme = app.partner();
    trip(&app, &acme, GERMAN).await;
    resume(&app, "acme", "DE").await;
    ask_for_code(&acme, "ada", GERMAN).await.assert_status(201);
    app.advance(TimeDelta::minutes(1));
    settle(&app.app).await;
    ask_for_code(&acme, "ada", GERMAN).await.assert_status(201);
}

async fn a_reset_is_for_one_partner_and_one_country(Watched(app): Watched) {
    let acme = app.partner();
    trip(&app, &acme, GERMAN).await;
    resume(&app, "acme", "AT").await;
    resume(&app, "globex", "DE").await;
    assert_paused(&ask_for_code(&acme, "ada", GERMAN).await);
}

async fn after_a_reset_new_pumping_stops_it_again(Watched(app): Watched) {
    let acme = app.partner();
    trip(&app, &acme, GERMAN).await;
    resume(&app, "acme", "DE").await;
    // Codes within the minute of the reset are ignored; later ones count.
    app.advance(TimeDelta::minutes(1));
    trip(&app, &acme, GERMAN).await;
    resume(&app, "acme", "DE").await;
    ask_for_code(&acme, "ada", GERMAN).await.assert_status(201);
}

async fn the_list_shows_the_counts_of_all_partners(Watched(app): Watched) {
    let (acme, globex) = (app.partner(), app.other_partner());
    pump(&acme, GERMAN, 10).await;
    use_code(&app, &acme, "ada", AUSTRIAN).await;
    use_code(&app, &globex, "ada", GERMAN).await;
    pump(&globex, GERMAN, 2).await;
    settle(&app.app).await;
    app.advance(JUDGED);
    let mut lines = Vec::new();
    for entry in book(&app).entries().await.unwrap() {
        let Destination { partner, country } = entry.sum.destination;
        let tally = entry.sum.tally;
        let percent = tally.percent().unwrap();
        lines.push(format!("{partner} {country} {} {} {percent} {}", tally.sent, tally.used, entry.stopped));
    }
    assert_eq!(lines, ["acme AT 1 1 100 false", "acme DE 10 0 0 true", "globex DE 3 1 33 false"]);
}
