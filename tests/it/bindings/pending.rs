//! Pending bindings: an open challenge can be read, and ends in several ways; its device is not visible yet.

use chrono::TimeDelta;
use serde_json::json;

use super::{DEVICES, assert_not_open, bound_devices, challenge_path, device_path};
use crate::harness::{Phone, TestApp, on_both_databases};

on_both_databases![
    an_open_challenge_can_be_read_under_any_spelling_of_its_id,
    a_malformed_challenge_id_gets_404,
    a_pending_device_cannot_be_seen_used_or_deleted,
    a_challenge_expires_after_exactly_five_minutes,
    only_the_newest_challenge_of_a_person_is_open,
    challenges_of_other_persons_and_partners_do_not_end_a_challenge,
    deleting_the_number_ends_the_challenge,
    another_partners_challenge_does_not_exist,
];

async fn an_open_challenge_can_be_read_under_any_spelling_of_its_id(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let asked = acme.ask_for_device("ada", &Phone::new(1)).await;
    app.advance(TimeDelta::minutes(1));
    let (created_at, expires_at) = ("2022-03-18T14:50:04Z", "2022-03-18T14:55:04Z");
    let expected = json!({"id": asked.id, "type": "signature", "created_at": created_at, "expires_at": expires_at});
    for spelling in [asked.id.clone(), asked.id.to_uppercase(), asked.id.replace('-', "")] {
        let challenge = acme.get(&challenge_path(&spelling)).await;
        challenge.assert_status(200);
        assert_eq!(challenge.json(), expected, "{spelling}");
    }
}

async fn a_malformed_challenge_id_gets_404(app: TestApp) {
    let acme = app.partner();
    for id in ["1", "6642d15e-8f6b-4d28-9186-cdd61d80032", "6642d15e-8f6b-4d28-9186-cdd61d80032a"] {
        assert_not_open(&acme.get(&challenge_path(id)).await, id);
        assert_not_open(&acme.answer(id, &Phone::new(1).sign("212212")).await, id);
    }
}

async fn a_pending_device_cannot_be_seen_used_or_deleted(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let phone = Phone::new(1);
    let asked = acme.ask_for_device("ada", &phone).await;
    let code = app.outbox().last().code();

    let (device, keys) = (device_path(&asked.id), format!("{}/keys", device_path(&asked.id)));
    let not_found = format!("device \"{}\" not found", asked.id);
    for answer in [
        acme.get(&device).await,
        acme.delete(&device).await,
        acme.get(&keys).await,
        acme.post(&keys, phone.vouch_for(&Phone::new(2))).await,
    ] {
        answer.assert_error(404, "not_found", &not_found);
    }
    let key_not_found = format!("key \"{}\" not found", asked.key_id);
    acme.get(&format!("{keys}/{}", asked.key_id)).await.assert_error(404, "not_found", &key_not_found);
    for list in [DEVICES, "/v1/mfa/devices?person_id=ada&filter[include_deleted]=true"] {
        let list = acme.get(list).await;
        assert_eq!((list.json(), &list.headers["total"]), (json!([]), &"0".parse().unwrap()));
    }

    // The refused deletion did not affect the challenge.
    acme.answer(&asked.id, &phone.sign(&code)).await.assert_status(204);
    acme.get(&device).await.assert_status(200);
}

async fn a_challenge_expires_after_exactly_five_minutes(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    acme.verified_person("bob").await;
    let (phone, late) = (Phone::new(1), Phone::new(2));
    let asked = acme.ask_for_device("ada", &phone).await;
    let code = app.outbox().last().code();
    let too_late = acme.ask_for_device("bob", &late).await;
    let late_code = app.outbox().last().code();

    app.advance(TimeDelta::minutes(5) - TimeDelta::microseconds(1));
    acme.get(&challenge_path(&asked.id)).await.assert_status(200);
    acme.answer(&asked.id, &phone.sign(&code)).await.assert_status(204);
    app.advance(TimeDelta::microseconds(1));
    assert_not_open(&acme.get(&challenge_path(&too_late.id)).await, &too_late.id);
    assert_not_open(&acme.answer(&too_late.id, &late.sign(&late_code)).await, &too_late.id);
    assert_eq!(bound_devices(&acme, "bob").await, [""; 0]);
}

async fn only_the_newest_challenge_of_a_person_is_open(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let (older_phone, newer_phone) = (Phone::new(1), Phone::new(2));
    let older = acme.ask_for_device("ada", &older_phone).await;
    let older_code = app.outbox().last().code();
    let newer = acme.ask_for_device("ada", &newer_phone).await;

    assert_not_open(&acme.get(&challenge_path(&older.id)).await, &older.id);
    assert_not_open(&acme.answer(&older.id, &older_phone.sign(&older_code)).await, &older.id);
    let code = app.outbox().last().code();
    acme.answer(&newer.id, &newer_phone.sign(&code)).await.assert_status(204);
    assert_eq!(bound_devices(&acme, "ada").await, [newer.id]);
}

async fn challenges_of_other_persons_and_partners_do_not_end_a_challenge(app: TestApp) {
    let (acme, globex) = (app.partner(), app.other_partner());
    acme.verified_person("ada").await;
    acme.verified_person("bob").await;
    globex.verified_person("ada").await;
    let asked = acme.ask_for_device("ada", &Phone::new(1)).await;
    acme.ask_for_device("bob", &Phone::new(2)).await;
    globex.ask_for_device("ada", &Phone::new(3)).await;
    acme.get(&challenge_path(&asked.id)).await.assert_status(200);
}

async fn deleting_the_number_ends_the_challenge(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let phone = Phone::new(1);
    let asked = acme.ask_for_device("ada", &phone).await;
    let code = app.outbox().last().code();
    acme.delete("/v1/persons/ada/mobile_number").await.assert_status(200);
    // The challenge stays closed after the same number is verified again.
    acme.verified_person("ada").await;
    assert_not_open(&acme.get(&challenge_path(&asked.id)).await, &asked.id);
    assert_not_open(&acme.answer(&asked.id, &phone.sign(&code)).await, &asked.id);
}

async fn another_partners_challenge_does_not_exist(app: TestApp) {
    let (acme, globex) = (app.partner(), app.other_partner());
    acme.verified_person("ada").await;
    let phone = Phone::new(1);
    let asked = acme.ask_for_device("ada", &phone).await;
    let code = app.outbox().last().code();
    assert_not_open(&globex.get(&challenge_path(&asked.id)).await, &asked.id);
    assert_not_open(&globex.answer(&asked.id, &phone.sign(&code)).await, &asked.id);
    for _ in 0..3 {
        assert_not_open(&globex.answer(&asked.id, &phone.sign("wrong")).await, &asked.id);
    }
    // The other partner's answers did not count as failures.
    acme.answer(&asked.id, &phone.sign(&code)).await.assert_status(204);
    assert_not_open(&globex.answer(&asked.id, &phone.sign(&code)).await, &asked.id);
}
