//! Right answers to bindings: the device and key, refusals, and repetitions.

use chrono::TimeDelta;
use device_management::domain::challenges::Acceptance;
use device_management::domain::devices::key::KeyPurpose;
use device_management::domain::devices::{Device, DeviceName};
use device_management::store::{Accepted, PastBinding};

use super::{
    CAP, SALT, TestStore, Written, acceptance, acme, binding, challenge_id, device_id, globex, key, now, person,
    record, wrong_signature,
};
use crate::harness::{books, in_every_form};

in_every_form![
    an_accepted_binding_becomes_a_device_with_one_used_key,
    a_binding_is_accepted_once,
    a_binding_that_is_not_open_is_not_accepted,
    at_the_device_limit_a_right_answer_leaves_the_binding_unchanged,
    a_right_answer_for_a_taken_key_leaves_the_binding_unchanged,
    another_partner_may_bind_the_same_key,
    a_repetition_is_the_same_signature_within_a_minute_on_a_live_device,
];

async fn an_accepted_binding_becomes_a_device_with_one_used_key(it: TestStore) {
    let ada = person("ada");
    it.verified(&acme(), &ada).await;
    let mut attempt = binding(&ada, 1);
    attempt.name = DeviceName::parse("Adas Täschchen");
    attempt.key_purpose = KeyPurpose::Restricted;
    it.open(&acme(), &attempt).await;
    let accepted = acceptance(&attempt);
    assert_eq!(it.accept_binding(&acme(), &accepted, &record()).await.unwrap(), Accepted::Bound);

    let found = it.device_with_keys(&acme(), attempt.id.bound_device()).await.unwrap().unwrap();
    let (id, name, created_at) = (attempt.id, attempt.name, attempt.life.created_at);
    assert_eq!(
        found.device,
        Device { id: id.bound_device(), person_id: ada.clone(), name, created_at, deleted_at: None }
    );
    let [only] = &found.keys[..] else { panic!("one key: {:?}", found.keys) };
    assert_eq!((only.id, only.purpose, only.used_at), (attempt.key_id, KeyPurpose::Restricted, Some(accepted.at)));
    assert_eq!(only.public_key, attempt.public_key);
    assert!(!it.is_open(&acme(), attempt.id).await);
    let prospects = it.binding_prospects(&acme(), &ada, &key(1)).await.unwrap().unwrap();
    assert_eq!((prospects.bound_devices, prospects.key_is_taken), (1, true));
    books::assert_balanced(&it.database).await;
}

async fn a_binding_is_accepted_once(it: TestStore) {
    let ada = person("ada");
    it.verified(&acme(), &ada).await;
    let attempt = binding(&ada, 1);
    it.bind(&acme(), &attempt).await;
    assert_eq!(it.accept_binding(&acme(), &acceptance(&attempt), &record()).await.unwrap(), Accepted::Overtaken);
    // Nor after the device was deleted.
    it.delete_device(&acme(), attempt.id.bound_device(), now(), &record(), SALT).await.unwrap();
    assert_eq!(it.accept_binding(&acme(), &acceptance(&attempt), &record()).await.unwrap(), Accepted::Overtaken);
    books::assert_balanced(&it.database).await;
}

async fn a_binding_that_is_not_open_is_not_accepted(it: TestStore) {
    let (ada, bob) = (person("ada"), person("bob"));
    it.verified(&acme(), &ada).await;
    let (superseded, attempt) = (binding(&ada, 1), binding(&ada, 2));
    it.open(&acme(), &superseded).await;
    it.open(&acme(), &attempt).await;
    let right = acceptance(&attempt);
    let of_another = Acceptance { person_id: bob, ..right.clone() };
    let late = Acceptance { at: attempt.life.expires_at, ..right.clone() };
    for (partner, acceptance) in
        [(acme(), &acceptance(&superseded)), (globex(), &right), (acme(), &of_another), (acme(), &late)]
    {
        let accepted = it.accept_binding(&partner, acceptance, &record()).await.unwrap();
        assert_eq!(accepted, Accepted::Overtaken, "{partner} {acceptance:?}");
    }
    assert!(it.is_open(&acme(), attempt.id).await);

    for _ in 0..CAP {
        assert!(matches!(
            it.count_wrong_signature(&acme(), &wrong_signature(attempt.id, now()), &record()).await.unwrap(),
            Written::Done(_)
        ));
    }
    assert_eq!(it.accept_binding(&acme(), &right, &record()).await.unwrap(), Accepted::Overtaken);
    it.open(&acme(), &attempt).await;
    it.close_binding(&acme(), attempt.id, now(), None, &record()).await.unwrap();
    assert_eq!(it.accept_binding(&acme(), &right, &record()).await.unwrap(), Accepted::Overtaken);
    assert_eq!(books::count(&it.database, "select count(*) from device").await, 0);
    assert_eq!(books::count(&it.database, "select count(*) from device_key").await, 0);
}

async fn at_the_device_limit_a_right_answer_leaves_the_binding_unchanged(it: TestStore) {
    let ada = person("ada");
    it.verified(&acme(), &ada).await;
    for seed in 1..=2 {
        it.bind(&acme(), &binding(&ada, seed)).await;
    }
    let attempt = binding(&ada, 3);
    it.open(&acme(), &attempt).await;
    let full = Acceptance { device_limit: 2, ..acceptance(&attempt) };
    assert_eq!(it.accept_binding(&acme(), &full, &record()).await.unwrap(), Accepted::Overtaken);
    assert!(it.is_open(&acme(), attempt.id).await);
    let found = it.binding(&acme(), attempt.id).await.unwrap().unwrap();
    assert_eq!(found.bound_devices, 2, "the person is at the device limit");
    // A closed binding stays closed when a device is deleted.
    it.close_binding(&acme(), attempt.id, now(), None, &record()).await.unwrap();
    it.delete_device(&acme(), device_id(1), now(), &record(), SALT).await.unwrap();
    assert_eq!(it.accept_binding(&acme(), &full, &record()).await.unwrap(), Accepted::Overtaken);

    it.open(&acme(), &binding(&ada, 4)).await;
    let last = Acceptance { device_limit: 2, ..acceptance(&binding(&ada, 4)) };
    assert_eq!(it.accept_binding(&acme(), &last, &record()).await.unwrap(), Accepted::Bound);
    books::assert_balanced(&it.database).await;
}

async fn a_right_answer_for_a_taken_key_leaves_the_binding_unchanged(it: TestStore) {
    let (ada, bob) = (person("ada"), person("bob"));
    it.verified(&acme(), &ada).await;
    it.verified(&acme(), &bob).await;
    let mut attempt = binding(&ada, 1);
    attempt.public_key = key(2);
    it.open(&acme(), &attempt).await;
    it.bind(&acme(), &binding(&bob, 2)).await;
    assert_eq!(it.accept_binding(&acme(), &acceptance(&attempt), &record()).await.unwrap(), Accepted::KeyTaken);
    assert!(it.is_open(&acme(), attempt.id).await);
    assert!(it.device(&acme(), attempt.id.bound_device()).await.unwrap().is_none());
    it.close_binding(&acme(), attempt.id, now(), None, &record()).await.unwrap();
    it.delete_device(&acme(), device_id(2), now(), &record(), SALT).await.unwrap();
    assert_eq!(it.accept_binding(&acme(), &acceptance(&attempt), &record()).await.unwrap(), Accepted::Overtaken);
    // The device limit was not charged.
    let prospects = it.binding_prospects(&acme(), &ada, &key(2)).await.unwrap().unwrap();
    assert_eq!((prospects.bound_devices, prospects.key_is_taken), (0, false));
    books::assert_balanced(&it.database).await;
}

async fn another_partner_may_bind_the_same_key(it: TestStore) {
    let ada = person("ada");
    it.verified(&acme(), &ada).await;
    it.verified(&globex(), &ada).await;
    it.bind(&acme(), &binding(&ada, 1)).await;
    let mut elsewhere = binding(&ada, 2);
    elsewhere.public_key = key(1);
    it.bind(&globex(), &elsewhere).await;
}

async fn a_repetition_is_the_same_signature_within_a_minute_on_a_live_device(it: TestStore) {
    let ada = person("ada");
    it.verified(&acme(), &ada).await;
    let attempt = binding(&ada, 1);
    it.bind(&acme(), &attempt).await;
    let Acceptance { fingerprint, at, .. } = acceptance(&attempt);
    let minute = TimeDelta::minutes(1);
    let just_in_time = at + minute - TimeDelta::microseconds(1);
    for (partner, id, fingerprint, now, expected) in [
        (acme(), attempt.id, fingerprint, at, true),
        (acme(), attempt.id, fingerprint, just_in_time, true),
        (acme(), attempt.id, fingerprint, at + minute, false),
        (acme(), attempt.id, [8; 32], at, false),
        (acme(), challenge_id(2), fingerprint, at, false),
        (globex(), attempt.id, fingerprint, at, false),
    ] {
        let past = it.past_binding(&partner, id, Some(fingerprint), now).await.unwrap();
        let repeat = past.is_some_and(|past| past.is_repeat);
        assert_eq!(repeat, expected, "{partner} {id} {now}");
    }
    it.delete_device(&acme(), attempt.id.bound_device(), at, &record(), SALT).await.unwrap();
    let past = it.past_binding(&acme(), attempt.id, Some(fingerprint), at).await.unwrap();
    assert_eq!(past, Some(PastBinding { person_id: ada, is_repeat: false }));
}
