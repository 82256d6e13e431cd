//! Devices: read, list by pages, delete.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use device_management::domain::challenges::ChallengeId;
use device_management::domain::id::DeviceId;
use device_management::domain::person::{PartnerId, PersonId};
use device_management::store::{DeleteOutcome, DeviceQuery, PageStart, Tombstones};

use super::{SALT, TestStore, acme, binding, challenge_id, device_id, globex, key, key_id, now, person, record};
use crate::harness::{books, on_both_databases_and_citus};

on_both_databases_and_citus![
    a_device_is_visible_only_to_its_partner,
    lists_are_newest_first_with_ties_ordered_by_id,
    lists_are_filtered_by_person_and_by_tombstones,
    pages_partition_the_list_and_have_the_total,
    a_deletion_leaves_a_tombstone_and_frees_the_limit_and_the_keys,
    only_a_live_device_of_the_partner_can_be_deleted,
];

async fn a_device_is_visible_only_to_its_partner(it: TestStore) {
    let ada = person("ada");
    it.verified(&acme(), &ada).await;
    it.bind(&acme(), &binding(&ada, 1)).await;
    assert_eq!(it.device(&acme(), device_id(1)).await.unwrap().unwrap().person_id, ada);
    assert!(it.device(&acme(), device_id(2)).await.unwrap().is_none());
    assert!(it.device(&globex(), device_id(1)).await.unwrap().is_none());
    assert!(it.device_with_keys(&globex(), device_id(1)).await.unwrap().is_none());
    assert!(it.key(&globex(), device_id(1), key_id(1)).await.unwrap().is_none());
    assert_eq!(list(&it, &globex(), Some(&ada), Tombstones::Included, 0, 10).await, (0, vec![]));
    assert_eq!(list(&it, &globex(), None, Tombstones::Included, 0, 10).await, (0, vec![]));
}

async fn lists_are_newest_first_with_ties_ordered_by_id(it: TestStore) {
    let ada = person("ada");
    it.verified(&acme(), &ada).await;
    let mut ids = BTreeMap::new();
    for (seed, seconds) in [(1_u8, 5), (2, 5), (3, 0), (4, 9), (5, 5)] {
        let mut attempt = binding(&ada, seed.into());
        attempt.life.created_at += TimeDelta::seconds(seconds);
        attempt.id = ChallengeId::mint(attempt.life.created_at, [seed; 10]);
        ids.insert(seed, attempt.id.bound_device());
        it.bind(&acme(), &attempt).await;
    }
    let newest_first = [4, 5, 2, 1, 3].map(|seed| ids[&seed]).to_vec();
    assert_eq!(list(&it, &acme(), Some(&ada), Tombstones::Excluded, 0, 10).await, (5, newest_first.clone()));
    assert_eq!(list(&it, &acme(), None, Tombstones::Excluded, 0, 10).await, (5, newest_first));
}

async fn lists_are_filtered_by_person_and_by_tombstones(it: TestStore) {
    let (ada, bob) = (person("ada"), person("bob"));
    it.verified(&acme(), &ada).await;
    it.verified(&acme(), &bob).await;
    it.verified(&globex(), &ada).await;
    for (partner, person, seed) in [(acme(), &ada, 1), (acme(), &ada, 2), (acme(), &bob, 3), (globex(), &ada, 4)] {
        it.bind(&partner, &binding(person, seed)).await;
    }
    it.delete_device(&acme(), device_id(2), now(), &record(), SALT).await.unwrap();
    for (of, tombstones, seeds) in [
        (Some(&ada), Tombstones::Excluded, &[1][..]),
        (Some(&ada), Tombstones::Included, &[2, 1]),
        (Some(&bob), Tombstones::Included, &[3]),
        (Some(&person("eve")), Tombstones::Included, &[]),
        (None, Tombstones::Excluded, &[3, 1]),
        (None, Tombstones::Included, &[3, 2, 1]),
    ] {
        let expected: Vec<DeviceId> = seeds.iter().map(|seed| device_id(*seed)).collect();
        let found = list(&it, &acme(), of, tombstones, 0, 10).await;
        assert_eq!(found, (i64::try_from(expected.len()).unwrap(), expected), "{of:?} {tombstones:?}");
    }
}

async fn pages_partition_the_list_and_have_the_total(it: TestStore) {
    let ada = person("ada");
    it.verified(&acme(), &ada).await;
    for seed in 1..=5 {
        it.bind(&acme(), &binding(&ada, seed)).await;
    }
    let huge = i64::from(i32::MAX) * 1000;
    for of in [Some(&ada), None] {
        for (offset, limit, seeds) in [
            (0, 2, &[5, 4][..]),
            (2, 2, &[3, 2]),
            (4, 2, &[1]),
            // A page beyond the end is empty but has the total.
            (5, 2, &[]),
            (huge, 1000, &[]),
        ] {
            let expected: Vec<DeviceId> = seeds.iter().map(|seed| device_id(*seed)).collect();
            let found = list(&it, &acme(), of, Tombstones::Excluded, offset, limit).await;
            assert_eq!(found, (5, expected), "{of:?} {offset} {limit}");
        }
    }
}

async fn a_deletion_leaves_a_tombstone_and_frees_the_limit_and_the_keys(it: TestStore) {
    let ada = person("ada");
    it.verified(&acme(), &ada).await;
    it.bind(&acme(), &binding(&ada, 1)).await;
    it.bind(&acme(), &binding(&ada, 2)).await;
    let at = now() + TimeDelta::microseconds(76_544);
    assert_eq!(it.delete_device(&acme(), device_id(1), at, &record(), SALT).await.unwrap(), DeleteOutcome::Deleted);

    let tombstone = it.device_with_keys(&acme(), device_id(1)).await.unwrap().unwrap();
    assert_eq!((tombstone.device.deleted_at, tombstone.keys.len()), (Some(at), 0));
    assert_eq!(it.device(&acme(), device_id(1)).await.unwrap().unwrap(), tombstone.device);
    assert!(it.key(&acme(), device_id(1), key_id(1)).await.unwrap().is_none());
    assert_eq!(it.device(&acme(), device_id(2)).await.unwrap().unwrap().deleted_at, None);
    let prospects = it.binding_prospects(&acme(), &ada, &key(1)).await.unwrap().unwrap();
    assert_eq!((prospects.bound_devices, prospects.key_is_taken), (1, false));
    let kept = "select count(*) from device_key where deleted_at is not null";
    assert_eq!(books::count(&it.database, kept).await, 1);
    books::assert_balanced(&it.database).await;
}

async fn only_a_live_device_of_the_partner_can_be_deleted(it: TestStore) {
    let ada = person("ada");
    it.verified(&acme(), &ada).await;
    it.open(&acme(), &binding(&ada, 1)).await;
    assert_eq!(it.delete_device(&acme(), device_id(1), now(), &record(), SALT).await.unwrap(), DeleteOutcome::NotFound);
    assert!(it.is_open(&acme(), challenge_id(1)).await);
    it.bind(&acme(), &binding(&ada, 1)).await;
    for (partner, seed) in [(globex(), 1), (acme(), 2)] {
        assert_eq!(
            it.delete_device(&partner, device_id(seed), now(), &record(), SALT).await.unwrap(),
            DeleteOutcome::NotFound
        );
    }
    assert_eq!(it.device(&acme(), device_id(1)).await.unwrap().unwrap().deleted_at, None);
    assert_eq!(it.delete_device(&acme(), device_id(1), now(), &record(), SALT).await.unwrap(), DeleteOutcome::Deleted);
    let later = now() + TimeDelta::seconds(1);
    let again = it.delete_device(&acme(), device_id(1), later, &record(), SALT).await.unwrap();
    assert_eq!(again, DeleteOutcome::DeletedBefore(ada));
    assert_eq!(it.device(&acme(), device_id(1)).await.unwrap().unwrap().deleted_at, Some(now()));
    books::assert_balanced(&it.database).await;
}

/// The total and the ids of one page.
async fn list(
    it: &TestStore,
    partner: &PartnerId,
    person: Option<&PersonId>,
    tombstones: Tombstones,
    offset: i64,
    limit: i64,
) -> (i64, Vec<DeviceId>) {
    let start = PageStart::Skipping(offset);
    let query = DeviceQuery { person_id: person.cloned(), tombstones, start, limit };
    let page = it.devices(partner, &query).await.unwrap();
    (page.total, page.entries.iter().map(|device| device.id).collect())
}
