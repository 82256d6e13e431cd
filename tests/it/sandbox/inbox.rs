//! `GET /sandbox/messages`.

use serde_json::{Value, json};

use crate::activation_codes::{activation_code, ask_by_letter};
use crate::harness::{NUMBER, Network, Phone, SMS_CHALLENGES, TestApp, TestClient, on_both_databases};

on_both_databases![
    every_kind_of_message_is_listed_newest_first_with_its_code,
    a_message_that_was_not_sent_is_listed_with_its_status,
    messages_are_filtered_by_person_and_number,
    a_partner_sees_only_its_own_messages,
    the_last_500_messages_are_kept,
];

const MESSAGES: &str = "/sandbox/messages";
/// [`NUMBER`] in a query.
const ENCODED: &str = "%2B4915112345678";
const OTHER_NUMBER: &str = "+4915112345679";

async fn messages(client: &TestClient, query: &str) -> Vec<Value> {
    let listed = client.get(&format!("{MESSAGES}{query}")).await.assert_status(200).json();
    listed.as_array().expect("an array").clone()
}

/// This field of each message.
fn each(messages: &[Value], field: &str) -> Vec<String> {
    messages.iter().map(|message| message[field].as_str().unwrap_or("-").to_owned()).collect()
}

async fn every_kind_of_message_is_listed_newest_first_with_its_code(app: TestApp) {
    let acme = app.partner();
    let number = "/v1/persons/ada/mobile_number";
    acme.post(number, json!({"number": NUMBER})).await.assert_status(201);
    let authorize = json!({"number": NUMBER, "language": "fr"});
    acme.post(&format!("{number}/authorize"), authorize).await.assert_status(201);
    let confirmed = &messages(&acme, "").await[0];
    let token = json!({"number": NUMBER, "token": confirmed["code"]});
    acme.post(&format!("{number}/confirm"), token).await.assert_status(201);

    let phone = Phone::new(1);
    let device = acme.ask_for_device("ada", &phone).await.id;
    let code = messages(&acme, "").await[0]["code"].as_str().expect("a code").to_owned();
    acme.answer(&device, &phone.sign(&code)).await.assert_status(204);
    let log_in = acme.sms_challenge("ada").await;
    let phone = Phone::new(2);
    let letter = activation_code(&acme, "ada").await;
    let second = ask_by_letter(&acme, "ada", &phone).await;
    acme.answer(&second, &phone.sign(&letter.code)).await.assert_status(204);

    let listed = messages(&acme, "").await;
    assert_eq!(each(&listed, "purpose"), ["device_bound_by_letter", "log_in", "bind_device", "confirm_number"]);
    assert_eq!(each(&listed, "language"), ["de", "de", "de", "fr"]);
    assert_eq!(each(&listed, "id")[..3], [&*second, &*log_in.id, &*device]);
    assert_eq!(each(&listed, "challenge_id")[..3], ["-", &*log_in.id, &*device]);
    assert_eq!(each(&listed, "code")[..3], ["-", &*log_in.code, &*code]);
    let sent: Vec<String> = app.outbox().messages().into_iter().rev().map(|message| message.text).collect();
    assert_eq!(each(&listed, "text"), sent);
    for message in &listed {
        assert_eq!(
            (&message["person_id"], &message["to"], &message["status"], &message["created_at"]),
            (&json!("ada"), &json!(NUMBER), &json!("sent"), &json!("2022-03-18T14:50:04Z"))
        );
    }
}

async fn a_message_that_was_not_sent_is_listed_with_its_status(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    for (network, status, listed) in [
        (Network::Rejects, 502, "rejected"),
        (Network::IsDown, 502, "failed"),
        (Network::LosesItsAnswer, 201, "uncertain"),
        (Network::Works, 201, "sent"),
    ] {
        app.network(network);
        acme.post(SMS_CHALLENGES, json!({"person_id": "ada"})).await.assert_status(status);
        assert_eq!(messages(&acme, "").await[0]["status"], listed);
    }
    assert_eq!(messages(&acme, "").await.len(), 4);
}

async fn messages_are_filtered_by_person_and_number(app: TestApp) {
    let acme = app.partner();
    for (person, number) in [("ada", NUMBER), ("bob", NUMBER), ("eve", OTHER_NUMBER)] {
        let path = format!("/v1/persons/{person}/mobile_number");
        acme.post(&path, json!({"number": number, "verified": true})).await.assert_status(201);
        acme.sms_challenge(person).await;
    }
    for (query, persons) in [
        ("", &["eve", "bob", "ada"][..]),
        ("?filter[person_id]=bob", &["bob"]),
        (&format!("?filter[to]={ENCODED}"), &["bob", "ada"]),
        (&format!("?filter%5Bto%5D={ENCODED}&filter%5Bperson_id%5D=ada"), &["ada"]),
        (&format!("?filter[to]={ENCODED}&filter[person_id]=eve"), &[]),
    ] {
        assert_eq!(each(&messages(&acme, query).await, "person_id"), persons, "{query}");
    }
    let unencoded = acme.get(&format!("{MESSAGES}?filter[to]={NUMBER}&filter[person_id]=")).await;
    unencoded.assert_faults(&[
        ("filter[person_id]", "must be 1 to 64 visible ASCII characters"),
        ("filter[to]", "must start with + and a country code; in a query, + is written %2B"),
    ]);
}

async fn a_partner_sees_only_its_own_messages(app: TestApp) {
    let (acme, globex) = (app.partner(), app.other_partner());
    for client in [&acme, &globex] {
        client.verified_person("ada").await;
        client.sms_challenge("ada").await;
    }
    let (acme, globex) = (messages(&acme, "").await, messages(&globex, "").await);
    assert_eq!((acme.len(), globex.len()), (1, 1));
    assert_ne!(acme[0]["id"], globex[0]["id"]);
}

async fn the_last_500_messages_are_kept(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let first = acme.sms_challenge("ada").await;
    let second = acme.sms_challenge("ada").await;
    for _ in 0..499 {
        acme.sms_challenge("ada").await;
    }
    let listed = each(&messages(&acme, "").await, "id");
    assert_eq!((listed.len(), listed.last()), (500, Some(&second.id)));
    assert!(!listed.contains(&first.id));
}
