//! Pending bindings.

use chrono::TimeDelta;
use device_management::domain::devices::DeviceName;
use device_management::domain::devices::key::KeyPurpose;
use device_management::domain::id::NumberId;
use device_management::store::NumberVerification;

use super::{
    CAP, OVERTAKEN, SALT, TestStore, Written, acme, binding, challenge_id, counted, device_id, fresh_id, globex, key,
    now, number, person, record, wrong_signature,
};
use crate::harness::in_every_form;

in_every_form![
    a_person_without_a_verified_number_has_no_binding_prospects,
    binding_prospects_have_the_device_count_and_taken_keys,
    a_binding_needs_a_verified_number,
    an_open_binding_is_read_as_it_was_written,
    a_new_binding_supersedes_the_persons_older_one,
    a_binding_is_open_until_it_expires_is_closed_or_reaches_the_cap,
    closing_affects_only_the_given_open_binding,
    wrong_signatures_count_up_to_the_cap,
    a_wrong_signature_counts_only_against_its_own_open_binding,
];

async fn a_person_without_a_verified_number_has_no_binding_prospects(it: TestStore) {
    let (ada, bob) = (person("ada"), person("bob"));
    it.verified(&globex(), &ada).await;
    let id = NumberId::from(fresh_id());
    assert!(
        it.create_mobile_number(&acme(), &bob, (id, &number()), NumberVerification::Pending, now(), &record())
            .await
            .unwrap()
    );
    assert!(it.binding_prospects(&acme(), &ada, &key(1)).await.unwrap().is_none());
    assert!(it.binding_prospects(&acme(), &bob, &key(1)).await.unwrap().is_none());
}

async fn binding_prospects_have_the_device_count_and_taken_keys(it: TestStore) {
    let (ada, bob) = (person("ada"), person("bob"));
    for (partner, person) in [(acme(), &ada), (acme(), &bob), (globex(), &ada)] {
        it.verified(&partner, person).await;
    }
    let prospects = it.binding_prospects(&acme(), &ada, &key(1)).await.unwrap().unwrap();
    assert_eq!(prospects.number, number());
    assert_eq!((prospects.bound_devices, prospects.key_is_taken), (0, false));

    // A pending device counts neither against the device limit nor as owner of its key.
    it.open(&acme(), &binding(&ada, 1)).await;
    let prospects = it.binding_prospects(&acme(), &ada, &key(1)).await.unwrap().unwrap();
    assert_eq!((prospects.bound_devices, prospects.key_is_taken), (0, false));

    it.bind(&acme(), &binding(&ada, 1)).await;
    for (partner, person, seed, expected) in [
        (acme(), &ada, 1, (1, true)),
        (acme(), &ada, 2, (1, false)),
        (acme(), &bob, 1, (0, true)),
        (globex(), &ada, 1, (0, false)),
    ] {
        let prospects = it.binding_prospects(&partner, person, &key(seed)).await.unwrap().unwrap();
        assert_eq!((prospects.bound_devices, prospects.key_is_taken), expected, "{partner} {person} {seed}");
    }
    it.delete_device(&acme(), device_id(1), now(), &record(), SALT).await.unwrap();
    let prospects = it.binding_prospects(&acme(), &ada, &key(1)).await.unwrap().unwrap();
    assert_eq!((prospects.bound_devices, prospects.key_is_taken), (0, false));
}

async fn a_binding_needs_a_verified_number(it: TestStore) {
    let (ada, bob) = (person("ada"), person("bob"));
    it.verified(&globex(), &ada).await;
    let id = NumberId::from(fresh_id());
    it.create_mobile_number(&acme(), &bob, (id, &number()), NumberVerification::Pending, now(), &record())
        .await
        .unwrap();
    for (person, seed) in [(&ada, 1), (&bob, 2)] {
        assert_eq!(it.open_binding(&acme(), &binding(person, seed), None, &record()).await.unwrap(), OVERTAKEN);
        assert!(!it.is_open(&acme(), challenge_id(seed)).await);
    }
}

async fn an_open_binding_is_read_as_it_was_written(it: TestStore) {
    let ada = person("ada");
    it.verified(&acme(), &ada).await;
    let mut wanted = binding(&ada, 1);
    wanted.key_purpose = KeyPurpose::Restricted;
    wanted.name = DeviceName::parse("Adas Täschchen");
    wanted.otp_version = 1_000_000;
    it.open(&acme(), &wanted).await;
    let found = it.binding(&acme(), wanted.id).await.unwrap().unwrap();
    assert_eq!((found.id, &found.person_id, found.key_id), (wanted.id, &ada, wanted.key_id));
    assert_eq!((&found.public_key, found.key_purpose), (&wanted.public_key, KeyPurpose::Restricted));
    assert_eq!((found.otp_version, found.life()), (1_000_000, wanted.life));
    assert!(it.binding(&globex(), wanted.id).await.unwrap().is_none());
    assert!(it.binding(&acme(), challenge_id(2)).await.unwrap().is_none());
}

async fn a_new_binding_supersedes_the_persons_older_one(it: TestStore) {
    let (ada, bob) = (person("ada"), person("bob"));
    it.verified(&acme(), &ada).await;
    it.verified(&acme(), &bob).await;
    it.open(&acme(), &binding(&ada, 1)).await;
    it.open(&acme(), &binding(&bob, 2)).await;
    // Wrong signatures and a close of the old binding do not affect the new one.
    assert_eq!(
        it.count_wrong_signature(&acme(), &wrong_signature(challenge_id(1), now()), &record()).await.unwrap(),
        Written::Done(1)
    );
    it.close_binding(&acme(), challenge_id(1), now(), None, &record()).await.unwrap();
    it.open(&acme(), &binding(&ada, 3)).await;
    let open = [it.is_open(&acme(), challenge_id(1)).await, it.is_open(&acme(), challenge_id(3)).await];
    assert_eq!(open, [false, true]);
    assert!(it.is_open(&acme(), challenge_id(2)).await);
    assert_eq!(
        it.count_wrong_signature(&acme(), &wrong_signature(challenge_id(3), now()), &record()).await.unwrap(),
        Written::Done(1)
    );
}

async fn a_binding_is_open_until_it_expires_is_closed_or_reaches_the_cap(it: TestStore) {
    let ada = person("ada");
    it.verified(&acme(), &ada).await;
    let attempt = binding(&ada, 1);
    it.open(&acme(), &attempt).await;
    let end = attempt.life.expires_at;
    let just_before = end - TimeDelta::microseconds(1);
    assert!(it.is_open_at(&acme(), attempt.id, just_before, CAP).await);
    assert!(!it.is_open_at(&acme(), attempt.id, end, CAP).await);
    assert_eq!(
        it.count_wrong_signature(&acme(), &wrong_signature(attempt.id, now()), &record()).await.unwrap(),
        Written::Done(1)
    );
    assert!(it.is_open_at(&acme(), attempt.id, now(), 2).await);
    assert!(!it.is_open_at(&acme(), attempt.id, now(), 1).await);
    it.close_binding(&acme(), attempt.id, now(), None, &record()).await.unwrap();
    assert!(!it.is_open(&acme(), attempt.id).await);
}

async fn closing_affects_only_the_given_open_binding(it: TestStore) {
    let (ada, bob) = (person("ada"), person("bob"));
    it.verified(&acme(), &ada).await;
    it.verified(&acme(), &bob).await;
    it.open(&acme(), &binding(&ada, 1)).await;
    it.open(&acme(), &binding(&bob, 2)).await;
    it.close_binding(&globex(), challenge_id(1), now(), None, &record()).await.unwrap();
    it.close_binding(&acme(), challenge_id(3), now(), None, &record()).await.unwrap();
    assert!(it.is_open(&acme(), challenge_id(1)).await);
    for _ in 0..2 {
        it.close_binding(&acme(), challenge_id(1), now(), None, &record()).await.unwrap();
        assert!(!it.is_open(&acme(), challenge_id(1)).await);
    }
    assert!(it.is_open(&acme(), challenge_id(2)).await);
}

async fn wrong_signatures_count_up_to_the_cap(it: TestStore) {
    let ada = person("ada");
    it.verified(&acme(), &ada).await;
    it.open(&acme(), &binding(&ada, 1)).await;
    for expected in [Some(1), Some(2), Some(3), None, None].map(counted) {
        assert_eq!(
            it.count_wrong_signature(&acme(), &wrong_signature(challenge_id(1), now()), &record()).await.unwrap(),
            expected
        );
    }
    assert!(!it.is_open(&acme(), challenge_id(1)).await);
}

async fn a_wrong_signature_counts_only_against_its_own_open_binding(it: TestStore) {
    let ada = person("ada");
    it.verified(&acme(), &ada).await;
    let (superseded, attempt) = (binding(&ada, 1), binding(&ada, 2));
    it.open(&acme(), &superseded).await;
    it.open(&acme(), &attempt).await;
    for (partner, id, at) in [
        (acme(), superseded.id, now()),
        (acme(), challenge_id(3), now()),
        (globex(), attempt.id, now()),
        (acme(), attempt.id, attempt.life.expires_at),
    ] {
        assert_eq!(
            it.count_wrong_signature(&partner, &wrong_signature(id, at), &record()).await.unwrap(),
            Written::Overtaken,
            "{partner} {id} {at}"
        );
    }
    assert_eq!(
        it.count_wrong_signature(&acme(), &wrong_signature(attempt.id, now()), &record()).await.unwrap(),
        Written::Done(1)
    );
    it.close_binding(&acme(), attempt.id, now(), None, &record()).await.unwrap();
    assert_eq!(
        it.count_wrong_signature(&acme(), &wrong_signature(attempt.id, now()), &record()).await.unwrap(),
        Written::Overtaken
    );
}
