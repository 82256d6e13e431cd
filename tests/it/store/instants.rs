//! Instants compare as instants and not as texts, although SQLite stores texts of different lengths, with and without a
//! fraction.

use chrono::{DateTime, TimeDelta, Utc};
use device_management::domain::challenges::{Acceptance, ChallengeId, ChallengeLife, NewBinding};
use device_management::domain::clients::Permissions;
use device_management::domain::id::{DeviceId, NumberId};
use device_management::store::{Client, DeviceQuery, NumberVerification, PageStart, Position, Tombstones, TypedCode};

use super::{
    CAP, DONE, OVERTAKEN, TestStore, Written, acceptance, acme, binding, fresh_id, number, person, record, token,
    wrong_signature,
};
use crate::harness::on_both_databases;

on_both_databases![
    a_challenge_expires_exactly_at_its_end,
    a_code_expires_exactly_at_its_end,
    a_repetition_is_accepted_for_exactly_one_minute,
    an_old_secret_expires_exactly_at_its_end,
    devices_are_listed_in_the_order_of_their_instants,
];

/// Ascending. Between neighbours the text's length or its fraction changes.
fn instants() -> Vec<DateTime<Utc>> {
    [
        "2021-12-31T23:59:59.999999Z",
        "2022-01-01T00:00:00Z",
        "2022-01-01T00:00:00.000001Z",
        "2022-01-01T00:00:00.000999Z",
        "2022-01-01T00:00:00.001Z",
        "2022-01-01T00:00:00.001001Z",
        "2022-01-01T00:00:00.499999Z",
        "2022-01-01T00:00:00.5Z",
        "2022-01-01T00:00:00.500001Z",
        "2022-01-01T00:00:00.999Z",
        "2022-01-01T00:00:00.999999Z",
        "2022-01-01T00:00:01Z",
        "2022-01-01T00:00:09.9Z",
        "2022-01-01T00:00:10Z",
    ]
    .map(|text| text.parse().expect("an RFC 3339 instant"))
    .to_vec()
}

async fn a_challenge_expires_exactly_at_its_end(it: TestStore) {
    let ada = person("ada");
    it.verified(&acme(), &ada).await;
    for pair in instants().windows(2) {
        let mut attempt = binding(&ada, 1);
        attempt.life = ChallengeLife { created_at: pair[0], expires_at: pair[1] };
        it.open(&acme(), &attempt).await;
        let found = it.binding(&acme(), attempt.id).await.unwrap();
        assert_eq!(found.expect("it is the newest binding").life(), attempt.life);
        assert!(it.is_open_at(&acme(), attempt.id, pair[0], CAP).await, "{pair:?}");
        assert!(!it.is_open_at(&acme(), attempt.id, pair[1], CAP).await, "{pair:?}");
        assert_eq!(
            it.count_wrong_signature(&acme(), &wrong_signature(attempt.id, pair[1]), &record()).await.unwrap(),
            Written::Overtaken,
            "{pair:?}"
        );
        assert_eq!(
            it.count_wrong_signature(&acme(), &wrong_signature(attempt.id, pair[0]), &record()).await.unwrap(),
            Written::Done(1),
            "{pair:?}"
        );
    }
}

async fn a_code_expires_exactly_at_its_end(it: TestStore) {
    let ada = person("ada");
    let id = NumberId::from(fresh_id());
    let pending = NumberVerification::Pending;
    it.create_mobile_number(&acme(), &ada, (id, &number()), pending, instants()[0], &record()).await.unwrap();
    for pair in instants().windows(2) {
        let id = ChallengeId::from(fresh_id());
        let code = TypedCode { id, otp_version: 1, expires_at: pair[1] };
        assert_eq!(it.open_number_code(&acme(), &ada, &number(), code, None, &record()).await.unwrap(), DONE);
        assert_eq!(
            it.count_wrong_code(&acme(), &ada, &token(id, pair[0], CAP), &record()).await.unwrap(),
            Written::Done(1),
            "{pair:?}"
        );
        assert_eq!(
            it.count_wrong_code(&acme(), &ada, &token(id, pair[1], CAP), &record()).await.unwrap(),
            Written::Overtaken,
            "{pair:?}"
        );
        assert_eq!(
            it.confirm_mobile_number(&acme(), &ada, &token(id, pair[1], CAP), &record()).await.unwrap(),
            OVERTAKEN,
            "{pair:?}"
        );
        assert_eq!(
            it.confirm_mobile_number(&acme(), &ada, &token(id, pair[0], CAP), &record()).await.unwrap(),
            DONE,
            "{pair:?}"
        );
    }
}

async fn a_repetition_is_accepted_for_exactly_one_minute(it: TestStore) {
    let ada = person("ada");
    it.verified(&acme(), &ada).await;
    let minute = TimeDelta::minutes(1);
    for (seed, pair) in (1..).zip(instants().windows(2)) {
        let mut attempt = binding(&ada, seed);
        attempt.life = ChallengeLife { created_at: pair[0], expires_at: pair[1] + minute };
        it.open(&acme(), &attempt).await;
        let met = Acceptance { at: pair[1], device_limit: 100, ..acceptance(&attempt) };
        it.accept_binding(&acme(), &met, &record()).await.unwrap();
        for (now, expected) in [(pair[0] + minute, true), (pair[1] + minute, false)] {
            let past = it.past_binding(&acme(), attempt.id, Some(met.fingerprint), now).await.unwrap();
            let repeat = past.is_some_and(|past| past.is_repeat);
            assert_eq!(repeat, expected, "{pair:?} {now}");
        }
    }
}

async fn an_old_secret_expires_exactly_at_its_end(it: TestStore) {
    for (number, pair) in instants().windows(2).enumerate() {
        let client = Client {
            id: format!("client-{number}"),
            partner: acme(),
            name: None,
            permissions: Permissions::default(),
            created_at: pair[0],
            revoked_at: None,
        };
        it.create_client(&client, [1; 32], &record()).await.unwrap();
        it.rotate_client_secret(&client.id, [2; 32], pair[0], pair[1], &record()).await.unwrap();
        for (at, expected) in [(pair[0], 2), (pair[1], 1)] {
            let (_, secrets) = it.client_with_secrets(&client.id, at).await.unwrap().unwrap();
            assert_eq!(secrets.len(), expected, "{pair:?} {at}");
        }
    }
}

async fn devices_are_listed_in_the_order_of_their_instants(it: TestStore) {
    let ada = person("ada");
    it.verified(&acme(), &ada).await;
    let instants = instants();
    // Bound in a different order than that of their instants. Within one millisecond the rest of the id decides.
    let id = |place: u32| ChallengeId::mint(instants[place as usize], [u8::try_from(place).unwrap(); 10]);
    let count = u32::try_from(instants.len()).unwrap();
    for step in 0..count {
        let place = step * 5 % count;
        let created_at = instants[place as usize];
        let mut attempt = NewBinding { id: id(place), ..binding(&ada, place) };
        attempt.life = ChallengeLife { created_at, expires_at: created_at + TimeDelta::minutes(5) };
        it.open(&acme(), &attempt).await;
        let met = Acceptance { device_limit: 100, ..acceptance(&attempt) };
        it.accept_binding(&acme(), &met, &record()).await.unwrap();
    }
    let start = PageStart::Skipping(0);
    let query = DeviceQuery { person_id: Some(ada), tombstones: Tombstones::Excluded, start, limit: 100 };
    let page = it.devices(&acme(), &query).await.unwrap();
    let listed: Vec<(DeviceId, DateTime<Utc>)> = page.entries.iter().map(|it| (it.id, it.created_at)).collect();
    let newest_first: Vec<_> =
        (0..count).rev().map(|place| (id(place).bound_device(), instants[place as usize])).collect();
    assert_eq!(listed, newest_first);
    // The same from each device's position, in both directions.
    for (place, device) in page.entries.iter().enumerate() {
        for (start, beyond) in [
            (PageStart::After(Position::of(device)), &newest_first[place + 1..]),
            (PageStart::Before(Position::of(device)), &newest_first[..place]),
        ] {
            let page = it.devices(&acme(), &DeviceQuery { start, ..query.clone() }).await.unwrap();
            let listed: Vec<_> = page.entries.iter().map(|it| (it.id, it.created_at)).collect();
            assert_eq!(listed, beyond, "{start:?}");
        }
    }
}
