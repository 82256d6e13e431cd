//! Further keys of a device.

use chrono::TimeDelta;
use device_management::domain::devices::key::KeyPurpose;
use device_management::domain::id::KeyId;
use device_management::store::{AddedKey, NewKey};

use super::{BUDGET, SALT, TestStore, acceptance, acme, binding, device_id, globex, key, key_id, now, person, record};
use crate::harness::{books, on_both_databases_and_citus};

on_both_databases_and_citus![
    an_added_key_is_live_and_the_key_that_signed_it_was_used,
    keys_are_read_oldest_first_and_only_under_their_device,
    no_key_is_added_to_a_missing_device,
    a_device_has_no_more_keys_than_the_limit,
    a_taken_key_is_not_added_and_does_not_count_against_the_limit,
];

/// A key that the device's first key signed, two seconds after the device was bound.
fn new_key(device: u32, seed: u32) -> NewKey {
    NewKey {
        id: key_id(seed),
        device_id: device_id(device),
        person_id: person("ada"),
        public_key: key(seed),
        purpose: KeyPurpose::Restricted,
        signed_by: key_id(device),
        at: now() + TimeDelta::seconds(3),
        key_limit: 10,
        budget: BUDGET,
    }
}

async fn an_added_key_is_live_and_the_key_that_signed_it_was_used(it: TestStore) {
    let ada = person("ada");
    it.verified(&acme(), &ada).await;
    it.bind(&acme(), &binding(&ada, 1)).await;
    it.bind(&acme(), &binding(&ada, 2)).await;
    let wanted = new_key(1, 11);
    assert_eq!(it.add_key(&acme(), &wanted, &record()).await.unwrap(), AddedKey::Added);
    let added = it.key(&acme(), device_id(1), wanted.id).await.unwrap().unwrap();
    assert_eq!((added.id, added.purpose, added.used_at), (wanted.id, KeyPurpose::Restricted, None));
    assert_eq!(added.public_key, wanted.public_key);
    let vouching = it.key(&acme(), device_id(1), key_id(1)).await.unwrap().unwrap();
    assert_eq!(vouching.used_at, Some(wanted.at));
    let uninvolved = it.key(&acme(), device_id(2), key_id(2)).await.unwrap().unwrap();
    assert_eq!(uninvolved.used_at, Some(acceptance(&binding(&ada, 2)).at));
    books::assert_balanced(&it.database).await;
}

async fn keys_are_read_oldest_first_and_only_under_their_device(it: TestStore) {
    let ada = person("ada");
    it.verified(&acme(), &ada).await;
    it.bind(&acme(), &binding(&ada, 1)).await;
    it.bind(&acme(), &binding(&ada, 2)).await;
    for (seed, seconds) in [(13, 4), (11, 5), (12, 4)] {
        let wanted = NewKey { at: now() + TimeDelta::seconds(seconds), ..new_key(1, seed) };
        assert_eq!(it.add_key(&acme(), &wanted, &record()).await.unwrap(), AddedKey::Added);
    }
    let found = it.device_with_keys(&acme(), device_id(1)).await.unwrap().unwrap();
    let ids: Vec<KeyId> = found.keys.iter().map(|key| key.id).collect();
    assert_eq!(ids, [1, 12, 13, 11].map(key_id));
    assert_eq!(it.device_with_keys(&acme(), device_id(2)).await.unwrap().unwrap().keys.len(), 1);
    assert!(it.device_with_keys(&acme(), device_id(3)).await.unwrap().is_none());

    assert!(it.key(&acme(), device_id(1), key_id(11)).await.unwrap().is_some());
    assert!(it.key(&acme(), device_id(2), key_id(11)).await.unwrap().is_none());
    assert!(it.key(&globex(), device_id(1), key_id(11)).await.unwrap().is_none());
}

async fn no_key_is_added_to_a_missing_device(it: TestStore) {
    let ada = person("ada");
    it.verified(&acme(), &ada).await;
    it.bind(&acme(), &binding(&ada, 1)).await;
    it.open(&acme(), &binding(&ada, 2)).await;
    assert_eq!(it.add_key(&globex(), &new_key(1, 11), &record()).await.unwrap(), AddedKey::Overtaken);
    assert_eq!(it.add_key(&acme(), &new_key(2, 11), &record()).await.unwrap(), AddedKey::Overtaken);
    assert_eq!(it.add_key(&acme(), &new_key(3, 11), &record()).await.unwrap(), AddedKey::Overtaken);
    it.delete_device(&acme(), device_id(1), now(), &record(), SALT).await.unwrap();
    assert_eq!(it.add_key(&acme(), &new_key(1, 11), &record()).await.unwrap(), AddedKey::Overtaken);
    assert_eq!(books::count(&it.database, "select count(*) from device_key").await, 1);
    books::assert_balanced(&it.database).await;
}

async fn a_device_has_no_more_keys_than_the_limit(it: TestStore) {
    let ada = person("ada");
    it.verified(&acme(), &ada).await;
    it.bind(&acme(), &binding(&ada, 1)).await;
    let limited = |seed| NewKey { key_limit: 3, ..new_key(1, seed) };
    for (seed, expected) in
        [(11, AddedKey::Added), (12, AddedKey::Added), (13, AddedKey::KeyLimit), (14, AddedKey::KeyLimit)]
    {
        assert_eq!(it.add_key(&acme(), &limited(seed), &record()).await.unwrap(), expected, "{seed}");
    }
    assert!(it.key(&acme(), device_id(1), key_id(13)).await.unwrap().is_none());
    assert!(!it.binding_prospects(&acme(), &ada, &key(13)).await.unwrap().unwrap().key_is_taken);
    books::assert_balanced(&it.database).await;
}

async fn a_taken_key_is_not_added_and_does_not_count_against_the_limit(it: TestStore) {
    let (ada, bob) = (person("ada"), person("bob"));
    it.verified(&acme(), &ada).await;
    it.verified(&acme(), &bob).await;
    it.verified(&globex(), &ada).await;
    it.bind(&acme(), &binding(&ada, 1)).await;
    it.bind(&acme(), &binding(&bob, 2)).await;
    it.bind(&globex(), &binding(&ada, 3)).await;
    let limited = |seed, taken| NewKey { key_limit: 2, public_key: key(taken), ..new_key(1, seed) };
    // The device's own key and another device's are taken. These attempts do not count against the limit.
    for (seed, taken) in [(11, 1), (12, 2)] {
        assert_eq!(it.add_key(&acme(), &limited(seed, taken), &record()).await.unwrap(), AddedKey::KeyTaken);
    }
    let vouching = it.key(&acme(), device_id(1), key_id(1)).await.unwrap().unwrap();
    assert_eq!(vouching.used_at, Some(acceptance(&binding(&ada, 1)).at));
    // Another partner's device does not take the key.
    assert_eq!(it.add_key(&acme(), &limited(13, 3), &record()).await.unwrap(), AddedKey::Added);
    books::assert_balanced(&it.database).await;
}
