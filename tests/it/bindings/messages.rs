//! The SMS of a challenge: its text, language and recipient, and the challenge after an SMS that no provider accepted.

use serde_json::json;

use super::{DEVICES, assert_not_open, bound_devices, challenge_path, request_body, with};
use crate::harness::{Engine, Message, Network, Phone, Start, TestApp, books, on_both_databases};

on_both_databases![
    the_code_goes_to_the_persons_number_in_the_requested_language,
    the_operator_sets_the_default_language,
    the_app_signature_is_the_last_line,
    every_challenge_has_a_different_code,
    a_challenge_whose_sms_failed_is_removed,
    a_request_whose_sms_failed_still_supersedes_the_previous_challenge,
    an_sms_with_an_uncertain_outcome_counts_as_sent,
];

/// The service of an operator whose persons speak French.
struct French(TestApp);

impl Start for French {
    async fn start(engine: Engine) -> Self {
        Self(TestApp::with(engine, &[("SMS_LANGUAGE", "fr")]).await)
    }
}

const GERMAN: &str = "Device Management: Code ###### registriert ein neues Handy. Nie weitergeben, auch nicht an uns.";
const ENGLISH: &str = "Device Management: Your code ###### registers a new phone. Never share it, not even with us.";
const FRENCH: &str =
    "Device Management: Le code ###### ajoute un nouveau mobile. Ne le donnez à personne, nous compris.";

/// The text of the last SMS, with the code replaced by `######`.
fn last_text(app: &TestApp) -> String {
    let message = app.outbox().last();
    message.text.replacen(&message.code(), "######", 1)
}

async fn the_code_goes_to_the_persons_number_in_the_requested_language(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    for (more, text) in [
        (json!({}), GERMAN),
        (json!({"language": "de"}), GERMAN),
        (json!({"language": "en"}), ENGLISH),
        (json!({"language": "fr"}), FRENCH),
    ] {
        acme.post(DEVICES, with(request_body("ada", &Phone::new(1)), more)).await.assert_status(202);
        assert_eq!(last_text(&app), text);
        assert_eq!(app.outbox().last().to, "+4915112345678");
    }
    assert_eq!(app.outbox().messages().len(), 4);
}

async fn the_operator_sets_the_default_language(French(app): French) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    acme.post(DEVICES, request_body("ada", &Phone::new(1))).await.assert_status(202);
    assert_eq!(last_text(&app), FRENCH);
    let english = with(request_body("ada", &Phone::new(1)), json!({"language": "en"}));
    acme.post(DEVICES, english).await.assert_status(202);
    assert_eq!(last_text(&app), ENGLISH);
}

async fn the_app_signature_is_the_last_line(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    for hash in ["e2e-e2e-e2e", "FA+9qCX9/Su"] {
        let more = json!({"sms_challenge": {"app_signature": hash}});
        acme.post(DEVICES, with(request_body("ada", &Phone::new(1)), more)).await.assert_status(202);
        assert_eq!(last_text(&app), format!("{GERMAN}\n{hash}"));
    }
}

async fn every_challenge_has_a_different_code(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    for _ in 0..5 {
        acme.ask_for_device("ada", &Phone::new(1)).await;
    }
    let mut codes: Vec<String> = app.outbox().messages().iter().map(Message::code).collect();
    codes.sort();
    codes.dedup();
    assert_eq!(codes.len(), 5, "{codes:?}");
}

async fn a_challenge_whose_sms_failed_is_removed(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let detail = "the SMS could not be sent and the request had no effect; please retry";
    for network in [Network::Rejects, Network::IsDown] {
        app.network(network);
        acme.post(DEVICES, request_body("ada", &Phone::new(1))).await.assert_error(502, "bad_gateway", detail);
    }
    let open = books::count(&app.database, "select count(*) from person where binding_closed_at is null").await;
    assert_eq!(open, 0);
    app.network(Network::Works);
    // The same person can bind the same key afterwards.
    acme.bind("ada", &Phone::new(1)).await;
}

async fn a_request_whose_sms_failed_still_supersedes_the_previous_challenge(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let phone = Phone::new(1);
    let before = acme.ask_for_device("ada", &phone).await;
    let code = app.outbox().last().code();
    app.network(Network::IsDown);
    acme.post(DEVICES, request_body("ada", &phone)).await.assert_status(502);
    assert_not_open(&acme.get(&challenge_path(&before.id)).await, &before.id);
    assert_not_open(&acme.answer(&before.id, &phone.sign(&code)).await, &before.id);
}

async fn an_sms_with_an_uncertain_outcome_counts_as_sent(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    app.network(Network::LosesItsAnswer);
    let phone = Phone::new(1);
    let bound = acme.bind("ada", &phone).await;
    assert_eq!(bound_devices(&acme, "ada").await, [bound.id]);
    assert_eq!(app.outbox().messages().len(), 1);
}
