//! Mobile numbers and the codes that confirm them.

use chrono::TimeDelta;
use device_management::domain::challenges::{ChallengeId, Judgement, judge};
use device_management::domain::id::NumberId;
use device_management::domain::person::{PartnerId, PersonId};
use device_management::store::{NumberVerification, TypedCode};
use uuid::Uuid;

use super::{
    CAP, DONE, OVERTAKEN, TestStore, Written, acme, binding, challenge_id, counted, device_id, fresh_id, globex, now,
    number, other_number, person, record, rules, token,
};
use crate::harness::{books, on_both_databases_and_citus};

on_both_databases_and_citus![
    a_person_has_at_most_one_number_per_partner,
    the_client_that_asserted_a_number_is_recorded,
    a_code_is_opened_only_for_the_persons_own_number,
    a_code_is_open_until_it_expires_is_closed_or_reaches_the_cap,
    a_code_confirms_its_number_once,
    a_second_confirmation_keeps_the_first_verification_time,
    deleting_a_number_closes_the_persons_binding,
];

async fn a_person_has_at_most_one_number_per_partner(it: TestStore) {
    let ada = person("ada");
    assert!(it.mobile_number(&acme(), &ada).await.unwrap().is_none());
    let id = pending(&it, &acme(), &ada).await;
    let second = (NumberId::from(fresh_id()), &other_number());
    assert!(
        !it.create_mobile_number(&acme(), &ada, second, NumberVerification::Pending, now(), &record()).await.unwrap()
    );
    let found = it.mobile_number(&acme(), &ada).await.unwrap().unwrap();
    assert_eq!((found.id, &found.number, found.verified), (id, &number(), false));

    assert!(it.mobile_number(&globex(), &ada).await.unwrap().is_none());
    assert!(it.mobile_number(&acme(), &person("bob")).await.unwrap().is_none());
    assert!(
        it.create_mobile_number(&globex(), &ada, second, NumberVerification::Pending, now(), &record()).await.unwrap()
    );
}

async fn the_client_that_asserted_a_number_is_recorded(it: TestStore) {
    let ada = person("ada");
    it.verified(&acme(), &ada).await;
    assert!(it.mobile_number(&acme(), &ada).await.unwrap().unwrap().verified);
    let asserted = "select count(*) from mobile_number where asserted_by = 'client' and verified_at = created_at";
    assert_eq!(books::count(&it.database, asserted).await, 1);
}

async fn a_code_is_opened_only_for_the_persons_own_number(it: TestStore) {
    let ada = person("ada");
    let id = pending(&it, &acme(), &ada).await;
    assert_eq!(it.open_number_code(&acme(), &ada, &number(), code(1), None, &record()).await.unwrap(), DONE);
    for (partner, person, number) in
        [(globex(), &ada, number()), (acme(), &person("bob"), number()), (acme(), &ada, other_number())]
    {
        assert_eq!(it.open_number_code(&partner, person, &number, code(2), None, &record()).await.unwrap(), OVERTAKEN);
        assert!(it.number_prospects(&partner, person, &number).await.unwrap().is_none());
        assert!(it.number_challenge(&partner, person, &number).await.unwrap().is_none());
    }
    let found = it.number_challenge(&acme(), &ada, &number()).await.unwrap().unwrap();
    assert_eq!((found.record.id, found.record.verified), (id, false));
    let sent = found.code.unwrap();
    assert_eq!((sent.id, sent.otp_version), (code(1).id, 3));
}

async fn a_code_is_open_until_it_expires_is_closed_or_reaches_the_cap(it: TestStore) {
    let ada = person("ada");
    pending(&it, &acme(), &ada).await;
    assert_eq!(open_code(&it, now(), CAP).await, None);
    open(&it, 1).await;
    let end = code(1).expires_at;
    assert_eq!(open_code(&it, end - TimeDelta::microseconds(1), CAP).await, Some(code(1).id));
    assert_eq!(open_code(&it, end, CAP).await, None);
    let wrong = async |partner, seed, at| {
        it.count_wrong_code(&partner, &ada, &token(code(seed).id, at, CAP), &record()).await.unwrap()
    };
    assert_eq!(wrong(acme(), 1, end).await, Written::Overtaken);
    assert_eq!(wrong(acme(), 2, now()).await, Written::Overtaken);
    assert_eq!(wrong(globex(), 1, now()).await, Written::Overtaken);
    for expected in [Some(1), Some(2), Some(3), None].map(counted) {
        assert_eq!(wrong(acme(), 1, now()).await, expected);
    }
    assert_eq!(open_code(&it, now(), CAP).await, None);

    // The next code starts without wrong answers. Closing requires its id.
    open(&it, 2).await;
    it.close_code(&acme(), &ada, code(1).id, None, &record()).await.unwrap();
    it.close_code(&globex(), &ada, code(2).id, None, &record()).await.unwrap();
    assert_eq!(open_code(&it, now(), CAP).await, Some(code(2).id));
    assert_eq!(wrong(acme(), 2, now()).await, Written::Done(1));
    it.close_code(&acme(), &ada, code(2).id, None, &record()).await.unwrap();
    assert_eq!(open_code(&it, now(), CAP).await, None);
    assert_eq!(wrong(acme(), 2, now()).await, Written::Overtaken);
}

async fn a_code_confirms_its_number_once(it: TestStore) {
    let ada = person("ada");
    pending(&it, &acme(), &ada).await;
    open(&it, 1).await;
    open(&it, 2).await;
    let confirm = async |partner, seed, at, cap| {
        it.confirm_mobile_number(&partner, &ada, &token(code(seed).id, at, cap), &record()).await.unwrap()
    };
    assert_eq!(confirm(acme(), 1, now(), CAP).await, OVERTAKEN, "a superseded code");
    assert_eq!(confirm(globex(), 2, now(), CAP).await, OVERTAKEN, "another partner");
    assert_eq!(confirm(acme(), 2, code(2).expires_at, CAP).await, OVERTAKEN, "too late");
    assert_eq!(confirm(acme(), 2, now(), 0).await, OVERTAKEN, "at the cap of wrong answers");
    assert!(!it.mobile_number(&acme(), &ada).await.unwrap().unwrap().verified);
    assert_eq!(confirm(acme(), 2, now(), CAP).await, DONE);
    assert!(it.mobile_number(&acme(), &ada).await.unwrap().unwrap().verified);
    assert_eq!(confirm(acme(), 2, now(), CAP).await, OVERTAKEN, "used up");
    assert_eq!(open_code(&it, now(), CAP).await, None);
}

async fn a_second_confirmation_keeps_the_first_verification_time(it: TestStore) {
    let ada = person("ada");
    it.verified(&acme(), &ada).await;
    assert_eq!(it.open_number_code(&acme(), &ada, &number(), code(1), None, &record()).await.unwrap(), DONE);
    let later = now() + TimeDelta::minutes(1);
    assert_eq!(it.confirm_mobile_number(&acme(), &ada, &token(code(1).id, later, CAP), &record()).await.unwrap(), DONE);
    let since = "select count(*) from mobile_number where verified_at = created_at";
    assert_eq!(books::count(&it.database, since).await, 1);
}

async fn deleting_a_number_closes_the_persons_binding(it: TestStore) {
    let (ada, bob) = (person("ada"), person("bob"));
    it.verified(&acme(), &ada).await;
    it.verified(&acme(), &bob).await;
    it.bind(&acme(), &binding(&ada, 1)).await;
    it.open(&acme(), &binding(&ada, 2)).await;
    it.open(&acme(), &binding(&bob, 3)).await;
    for (partner, person, number) in
        [(globex(), &ada, None), (acme(), &person("eve"), None), (acme(), &ada, Some(&other_number()))]
    {
        assert!(it.delete_mobile_number(&partner, person, number, now(), &record()).await.unwrap().is_none());
    }
    assert!(it.is_open(&acme(), challenge_id(2)).await);

    let deleted = it.delete_mobile_number(&acme(), &ada, Some(&number()), now(), &record()).await.unwrap().unwrap();
    assert_eq!((deleted.number, deleted.verified), (number(), true));
    assert!(it.mobile_number(&acme(), &ada).await.unwrap().is_none());
    assert!(!it.is_open(&acme(), challenge_id(2)).await);
    assert!(it.is_open(&acme(), challenge_id(3)).await);
    assert_eq!(it.device(&acme(), device_id(1)).await.unwrap().unwrap().deleted_at, None);
    assert!(it.delete_mobile_number(&acme(), &ada, None, now(), &record()).await.unwrap().is_none());
    // Without naming the number.
    assert!(it.delete_mobile_number(&acme(), &bob, None, now(), &record()).await.unwrap().is_some());
    books::assert_balanced(&it.database).await;
}

/// Creates an unverified number of the person.
async fn pending(it: &TestStore, partner: &PartnerId, person: &PersonId) -> NumberId {
    let id = NumberId::from(fresh_id());
    let verification = NumberVerification::Pending;
    assert!(it.create_mobile_number(partner, person, (id, &number()), verification, now(), &record()).await.unwrap());
    id
}

/// A code that is open for five minutes.
fn code(seed: u128) -> TypedCode {
    let id = ChallengeId::from(Uuid::from_u128(seed));
    TypedCode { id, otp_version: 3, expires_at: now() + TimeDelta::minutes(5) }
}

/// Opens a code for Ada's number.
async fn open(it: &TestStore, seed: u128) {
    let ada = person("ada");
    assert_eq!(it.open_number_code(&acme(), &ada, &number(), code(seed), None, &record()).await.unwrap(), DONE);
}

/// The open code of Ada's number.
async fn open_code(it: &TestStore, at: chrono::DateTime<chrono::Utc>, cap: i64) -> Option<ChallengeId> {
    let found = it.number_challenge(&acme(), &person("ada"), &number()).await.unwrap();
    let open = found.unwrap().code.filter(|code| judge(&code.state, at, &rules(cap)) == Judgement::Open);
    open.map(|code| code.id)
}
