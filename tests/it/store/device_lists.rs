//! Lists of devices: keyset pages, and totals of few and of many devices.

use chrono::TimeDelta;
use device_management::domain::id::DeviceId;
use device_management::domain::person::{PartnerId, PersonId};
use device_management::store::{DeviceKind, DevicePage, DeviceQuery, PageStart, PartnerDevices, Position, Tombstones};

use super::{SALT, TestStore, acme, binding, device_id, globex, now, person, record};
use crate::harness::{TestDatabase, on_both_databases_and_citus, sql};

on_both_databases_and_citus![
    pages_follow_each_other_by_position_in_both_directions,
    a_deletion_between_pages_neither_skips_nor_repeats_a_device,
    a_position_is_valid_in_every_list,
    a_total_above_a_thousand_is_the_stored_count,
    a_persons_total_of_deleted_devices_is_always_exact,
    partners_with_many_devices_are_found_and_counted_in_steps,
];

/// Live devices and tombstones of one person, inserted by SQL: one per second, each state from the same start.
pub(crate) async fn fill(database: &TestDatabase, partner: &str, person: &str, live: u32, deleted: u32) {
    let kinds = [("live", "null", 1, live), ("deleted", "'2022-03-18T14:00:00+00:00'", 0, deleted)];
    for (state, deleted_at, live_keys, number) in kinds {
        let rows = if database.url().starts_with("sqlite:") {
            format!(
                "with recursive series (i) as (select 1 union all select i + 1 from series where i < {number})
                 insert into device (device_id, partner_id, state, person_id, created_at, bound_at, binding_fingerprint
                                    , live_keys, deleted_at)
                 select randomblob(16), '{partner}', '{state}', '{person}'
                      , strftime('%Y-%m-%dT%H:%M:%S+00:00', '2022-03-01', i || ' seconds')
                      , '2022-03-18T14:00:00+00:00', x'', {live_keys}, {deleted_at}
                   from series where {number} > 0"
            )
        } else {
            format!(
                "insert into device (device_id, partner_id, state, person_id, created_at, bound_at, binding_fingerprint
                                    , live_keys, deleted_at)
                 select gen_random_uuid(), '{partner}', '{state}', '{person}'
                      , timestamptz '2022-03-01T00:00:00Z' + i * interval '1 second'
                      , '2022-03-18T14:00:00Z', '', {live_keys}, {deleted_at}
                   from generate_series(1, {number}) i"
            )
        };
        sql::execute(database.url(), &rows).await;
    }
    let counts = format!(
        "insert into person (partner_id, person_id, bound_devices, deleted_devices)
         values ('{partner}', '{person}', {live}, {deleted})"
    );
    sql::execute(database.url(), &counts).await;
}

async fn pages_follow_each_other_by_position_in_both_directions(it: TestStore) {
    let (ada, bob) = (person("ada"), person("bob"));
    it.verified(&acme(), &ada).await;
    it.verified(&acme(), &bob).await;
    // Two devices of the same instant, and two of another person, are on each side of a page boundary.
    for (owner, seed, seconds) in
        [(&ada, 1, 0), (&bob, 2, 1), (&ada, 3, 2), (&ada, 4, 2), (&ada, 5, 2), (&bob, 6, 3), (&ada, 7, 4)]
    {
        let mut attempt = binding(owner, seed);
        attempt.life.created_at += TimeDelta::seconds(seconds);
        it.bind(&acme(), &attempt).await;
    }
    for seed in [3, 6] {
        it.delete_device(&acme(), device_id(seed), now(), &record(), SALT).await.unwrap();
    }
    for (of, tombstones, seeds) in [
        (None, Tombstones::Included, &[7, 6, 5, 4, 3, 2, 1][..]),
        (None, Tombstones::Excluded, &[7, 5, 4, 2, 1]),
        (Some(&ada), Tombstones::Included, &[7, 5, 4, 3, 1]),
        (Some(&ada), Tombstones::Excluded, &[7, 5, 4, 1]),
        (Some(&bob), Tombstones::Included, &[6, 2]),
    ] {
        let expected: Vec<DeviceId> = seeds.iter().map(|seed| device_id(*seed)).collect();
        for limit in 1..=8 {
            let query = DeviceQuery { person_id: of.cloned(), tombstones, start: PageStart::Skipping(0), limit };
            assert_eq!(walk(&it, &query, onward).await, expected, "onward {of:?} {tombstones:?} {limit}");
            let query = DeviceQuery { start: PageStart::Before(Position::OLDEST), ..query };
            assert_eq!(walk(&it, &query, back).await, expected, "back {of:?} {tombstones:?} {limit}");
        }
    }
}

async fn a_deletion_between_pages_neither_skips_nor_repeats_a_device(it: TestStore) {
    let ada = person("ada");
    it.verified(&acme(), &ada).await;
    for seed in 1..=5 {
        it.bind(&acme(), &binding(&ada, seed)).await;
    }
    for of in [None, Some(ada)] {
        let query =
            DeviceQuery { person_id: of, tombstones: Tombstones::Excluded, start: PageStart::Skipping(0), limit: 2 };
        let first = it.devices(&acme(), &query).await.unwrap();
        let live = first.total;
        // Including the device at the next page's position.
        for device in &first.entries {
            it.delete_device(&acme(), device.id, now(), &record(), SALT).await.unwrap();
        }
        let second =
            it.devices(&acme(), &DeviceQuery { start: onward(&first).unwrap(), ..query.clone() }).await.unwrap();
        assert_eq!(second.total, live - 2);
        let expected = if live == 5 { vec![device_id(3), device_id(2)] } else { vec![device_id(1)] };
        assert_eq!(ids(&second), expected);
        let back = it.devices(&acme(), &DeviceQuery { start: back(&second).unwrap(), ..query }).await.unwrap();
        assert_eq!((ids(&back), back.has_newer, back.has_older), (vec![], false, true));
    }
}

async fn a_position_is_valid_in_every_list(it: TestStore) {
    let (ada, bob) = (person("ada"), person("bob"));
    for (partner, owner) in [(acme(), &ada), (acme(), &bob), (globex(), &ada)] {
        it.verified(&partner, owner).await;
    }
    for (partner, owner, seed) in [(acme(), &ada, 1), (acme(), &bob, 2), (globex(), &ada, 3), (acme(), &ada, 4)] {
        it.bind(&partner, &binding(owner, seed)).await;
    }
    let of_another = it.device(&globex(), device_id(3)).await.unwrap().unwrap();
    let start = PageStart::After(Position::of(&of_another));
    for (of, seeds) in [(None, &[2, 1][..]), (Some(ada), &[1]), (Some(bob), &[2])] {
        let query = DeviceQuery { person_id: of, tombstones: Tombstones::Included, start, limit: 10 };
        let expected: Vec<DeviceId> = seeds.iter().map(|seed| device_id(*seed)).collect();
        assert_eq!(ids(&it.devices(&acme(), &query).await.unwrap()), expected);
    }
}

async fn a_total_above_a_thousand_is_the_stored_count(it: TestStore) {
    fill(&it.database, "acme", "ada", 1000, 999).await;
    let of_acme = async |tombstones| total(&it, &acme(), None, tombstones).await;
    assert_eq!((of_acme(Tombstones::Excluded).await, of_acme(Tombstones::Included).await), (1000, 1999));
    // The stored count of few devices is ignored.
    it.keep_device_count(&acme(), 500, 1000).await.unwrap();
    assert_eq!((of_acme(Tombstones::Excluded).await, of_acme(Tombstones::Included).await), (1000, 1999));
    it.keep_device_count(&acme(), 5000, 7000).await.unwrap();
    fill(&it.database, "acme", "bob", 1, 2).await;
    assert_eq!((of_acme(Tombstones::Excluded).await, of_acme(Tombstones::Included).await), (5000, 12_000));
    // An outdated stored count below the limit is ignored.
    it.keep_device_count(&acme(), 900, 7000).await.unwrap();
    assert_eq!((of_acme(Tombstones::Excluded).await, of_acme(Tombstones::Included).await), (1001, 8001));
    it.forget_device_count(&acme()).await.unwrap();
    assert_eq!((of_acme(Tombstones::Excluded).await, of_acme(Tombstones::Included).await), (1001, 2002));
    assert_eq!(total(&it, &globex(), None, Tombstones::Included).await, 0);
}

async fn a_persons_total_of_deleted_devices_is_always_exact(it: TestStore) {
    let ada = person("ada");
    fill(&it.database, "acme", "ada", 0, 1500).await;
    it.verified(&acme(), &ada).await;
    for seed in 1..=2 {
        it.bind(&acme(), &binding(&ada, seed)).await;
    }
    assert_eq!(total(&it, &acme(), Some(&ada), Tombstones::Included).await, 1502);
    it.delete_device(&acme(), device_id(1), now(), &record(), SALT).await.unwrap();
    it.delete_device(&acme(), device_id(1), now(), &record(), SALT).await.unwrap();
    assert_eq!(total(&it, &acme(), Some(&ada), Tombstones::Included).await, 1502);
    assert_eq!(total(&it, &acme(), Some(&ada), Tombstones::Excluded).await, 1);
    crate::harness::books::assert_balanced(&it.database).await;
}

async fn partners_with_many_devices_are_found_and_counted_in_steps(it: TestStore) {
    fill(&it.database, "many", "ada", 45_000, 20_000).await;
    fill(&it.database, "few", "ada", 1000, 1000).await;
    fill(&it.database, "deleted", "ada", 0, 1001).await;
    it.keep_device_count(&acme(), 1, 1).await.unwrap();
    let mut found = Vec::new();
    while let Some(next) =
        it.next_partner_with_devices(found.last().map(|it: &PartnerDevices| &it.partner)).await.unwrap()
    {
        found.push(next);
    }
    let found: Vec<_> = found.iter().map(|it| (it.partner.as_str(), it.are_many, it.are_kept)).collect();
    assert_eq!(found, [("acme", false, true), ("deleted", true, false), ("few", false, false), ("many", true, false)]);

    let many = PartnerId::parse("many").unwrap();
    for (kind, expected) in [(DeviceKind::Live, &[20_000, 20_000, 5000][..]), (DeviceKind::Deleted, &[20_000, 0])] {
        let (mut steps, mut from) = (Vec::new(), Some(Position::NEWEST));
        while let Some(position) = from {
            let (counted, next) = it.count_devices(&many, kind, position).await.unwrap();
            steps.push(counted);
            from = next;
        }
        assert_eq!(steps, expected, "{kind:?}");
    }
}

/// Every device of a list, newest first, by following the pages from the first.
async fn walk(it: &TestStore, query: &DeviceQuery, further: fn(&DevicePage) -> Option<PageStart>) -> Vec<DeviceId> {
    let mut query = query.clone();
    let mut pages = Vec::new();
    loop {
        let page = it.devices(&acme(), &query).await.unwrap();
        assert!(page.entries.len() <= usize::try_from(query.limit).unwrap());
        pages.push(ids(&page));
        let Some(start) = further(&page) else { break };
        query.start = start;
    }
    if let PageStart::Before(_) = query.start {
        pages.reverse();
    }
    pages.concat()
}

fn onward(page: &DevicePage) -> Option<PageStart> {
    page.has_older
        .then(|| PageStart::After(Position::of(page.entries.last().expect("a page with older devices is not empty"))))
}

fn back(page: &DevicePage) -> Option<PageStart> {
    page.has_newer
        .then(|| PageStart::Before(Position::of(page.entries.first().expect("a page with newer devices is not empty"))))
}

fn ids(page: &DevicePage) -> Vec<DeviceId> {
    page.entries.iter().map(|device| device.id).collect()
}

async fn total(it: &TestStore, partner: &PartnerId, of: Option<&PersonId>, tombstones: Tombstones) -> i64 {
    let query = DeviceQuery { person_id: of.cloned(), tombstones, start: PageStart::Skipping(0), limit: 1 };
    it.devices(partner, &query).await.unwrap().total
}
