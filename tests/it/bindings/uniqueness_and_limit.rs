//! Key uniqueness and the device limit are checked again when the challenge is answered, not only at the request.

use super::{assert_device_limit, assert_key_taken, assert_not_open, bound_devices, challenge_path, device_path};
use crate::harness::{Phone, TestApp, on_both_databases};

on_both_databases![
    the_first_right_answer_gets_the_key,
    a_key_that_was_added_to_another_device_meanwhile_is_refused,
    the_device_limit_is_checked_when_the_device_is_bound,
    two_partners_can_bind_the_same_key,
];

async fn the_first_right_answer_gets_the_key(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    acme.verified_person("bob").await;
    let phone = Phone::new(1);
    let of_ada = acme.ask_for_device("ada", &phone).await;
    let adas_signature = phone.sign(&app.outbox().last().code());
    let of_bob = acme.bind("bob", &phone).await;

    assert_key_taken(&acme.answer(&of_ada.id, &adas_signature).await);
    assert_not_open(&acme.get(&challenge_path(&of_ada.id)).await, &of_ada.id);
    // The challenge stays closed when the key is free again.
    acme.delete(&device_path(&of_bob.id)).await.assert_status(204);
    assert_not_open(&acme.answer(&of_ada.id, &adas_signature).await, &of_ada.id);
    assert_eq!(bound_devices(&acme, "ada").await, [""; 0]);
    acme.bind("ada", &phone).await;
}

async fn a_key_that_was_added_to_another_device_meanwhile_is_refused(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let (phone, contested) = (Phone::new(1), Phone::new(2));
    let bound = acme.bind("ada", &phone).await;
    let asked = acme.ask_for_device("ada", &contested).await;
    let signature = contested.sign(&app.outbox().last().code());
    acme.post(&format!("{}/keys", device_path(&bound.id)), phone.vouch_for(&contested)).await.assert_status(201);
    assert_key_taken(&acme.answer(&asked.id, &signature).await);
    assert_not_open(&acme.get(&challenge_path(&asked.id)).await, &asked.id);
}

/// A person has one open challenge at a time, so only a lowered limit can be exceeded between request and answer.
async fn the_device_limit_is_checked_when_the_device_is_bound(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let first = acme.bind("ada", &Phone::new(1)).await;
    let phone = Phone::new(2);
    let asked = acme.ask_for_device("ada", &phone).await;
    let signature = phone.sign(&app.outbox().last().code());

    let stricter = acme.through(app.replica(&[("LIMIT_DEVICES_PER_PERSON", "1")]).await);
    assert_device_limit(&stricter.answer(&asked.id, &signature).await);
    assert_not_open(&acme.get(&challenge_path(&asked.id)).await, &asked.id);
    assert_not_open(&acme.answer(&asked.id, &signature).await, &asked.id);
    assert_eq!(bound_devices(&acme, "ada").await, [first.id]);
}

async fn two_partners_can_bind_the_same_key(app: TestApp) {
    let (acme, globex) = (app.partner(), app.other_partner());
    acme.verified_person("ada").await;
    globex.verified_person("ada").await;
    let phone = Phone::new(1);
    let here = acme.ask_for_device("ada", &phone).await;
    let acmes_code = app.outbox().last().code();
    let there = globex.ask_for_device("ada", &phone).await;
    let globexs_code = app.outbox().last().code();
    acme.answer(&here.id, &phone.sign(&acmes_code)).await.assert_status(204);
    globex.answer(&there.id, &phone.sign(&globexs_code)).await.assert_status(204);
    assert_eq!(bound_devices(&acme, "ada").await, [here.id]);
    assert_eq!(bound_devices(&globex, "ada").await, [there.id]);
}
