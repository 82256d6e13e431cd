//! SMS limits: each message is counted once and only if it is sent; a write that is overtaken changes nothing.

use device_management::domain::challenges::ChallengeId;
use device_management::domain::person::PersonId;
use device_management::domain::sms::limits::{PartnerRate, SmsLimits, SmsSpend, SmsTurn};
use device_management::store::TypedCode;

use super::{DONE, TestStore, acme, binding, challenge_id, fresh_id, key, now, number, person, record};
use crate::harness::{in_every_form, sql};

in_every_form![
    a_message_is_overtaken_by_another_to_the_number,
    a_message_is_overtaken_by_another_for_the_person,
    a_message_is_not_counted_when_the_partner_is_at_its_rate,
    a_message_is_not_counted_when_the_person_does_not_have_the_number,
    a_confirmation_is_overtaken_by_another_message,
    a_message_that_no_provider_accepted_is_refunded_after_a_later_message,
    a_partner_put_far_ahead_by_a_wrong_clock_may_send,
];

pub(super) fn limits() -> SmsLimits {
    let windows: fn() -> _ = || "5/1h".parse().unwrap();
    SmsLimits { per_number: windows(), per_person: windows(), per_partner: PartnerRate { per_second: 1, burst: 3 } }
}

/// The cost of a message for this person, from the current usage.
pub(super) async fn spend(it: &TestStore, person: &PersonId) -> SmsSpend {
    let prospects = it.binding_prospects(&acme(), person, &key(1)).await.unwrap().unwrap();
    limits().spend(&prospects.sms, now())
}

/// Opens a binding with a message; returns whether it was counted.
pub(super) async fn ask(it: &TestStore, person: &PersonId, seed: u32, spend: &SmsSpend) -> bool {
    it.open_binding(&acme(), &binding(person, seed), Some(spend), &record()).await.unwrap() == DONE
}

/// Opens a binding that must be overtaken without any change.
pub(super) async fn ask_overtaken(it: &TestStore, person: &PersonId, seed: u32, spend: &SmsSpend) {
    let before = sql::every_value(&it.database).await;
    assert!(!ask(it, person, seed, spend).await);
    assert_eq!(sql::every_value(&it.database).await, before);
}

pub(super) async fn persons_with_one_number(it: &TestStore) -> [PersonId; 2] {
    let persons = ["ada", "bob"].map(person);
    for person in &persons {
        it.verified(&acme(), person).await;
    }
    persons
}

async fn a_message_is_overtaken_by_another_to_the_number(it: TestStore) {
    let [ada, bob] = persons_with_one_number(&it).await;
    let [adas, bobs] = [spend(&it, &ada).await, spend(&it, &bob).await];
    assert!(ask(&it, &ada, 1, &adas).await);
    ask_overtaken(&it, &bob, 2, &bobs).await;
    assert!(ask(&it, &bob, 2, &spend(&it, &bob).await).await);
    ask_overtaken(&it, &bob, 3, &SmsSpend { last_to_number: SmsTurn::default(), ..spend(&it, &bob).await }).await;
}

async fn a_message_is_overtaken_by_another_for_the_person(it: TestStore) {
    let [ada, _] = persons_with_one_number(&it).await;
    let first = spend(&it, &ada).await;
    assert!(ask(&it, &ada, 1, &first).await);
    ask_overtaken(&it, &ada, 2, &first).await;
    // The person's number may have changed.
    ask_overtaken(&it, &ada, 2, &SmsSpend { last_for_person: SmsTurn::default(), ..spend(&it, &ada).await }).await;
}

async fn a_message_is_not_counted_when_the_partner_is_at_its_rate(it: TestStore) {
    let [ada, _] = persons_with_one_number(&it).await;
    for seed in 1..=3 {
        assert!(ask(&it, &ada, seed, &spend(&it, &ada).await).await);
    }
    ask_overtaken(&it, &ada, 4, &spend(&it, &ada).await).await;
}

async fn a_message_is_not_counted_when_the_person_does_not_have_the_number(it: TestStore) {
    let [ada, bob] = persons_with_one_number(&it).await;
    let adas = spend(&it, &ada).await;
    assert!(it.delete_mobile_number(&acme(), &ada, None, now(), &record()).await.unwrap().is_some());
    ask_overtaken(&it, &ada, 1, &adas).await;
    assert!(ask(&it, &bob, 2, &spend(&it, &bob).await).await);
}

async fn a_confirmation_is_overtaken_by_another_message(it: TestStore) {
    let [ada, bob] = persons_with_one_number(&it).await;
    let [adas, bobs] = [spend(&it, &ada).await, spend(&it, &bob).await];
    let open = async |person: &PersonId, spend: &SmsSpend| {
        let id = ChallengeId::from(fresh_id());
        let code = TypedCode { id, otp_version: 1, expires_at: now() };
        it.open_number_code(&acme(), person, &number(), code, Some(spend), &record()).await.unwrap() == DONE
    };
    assert!(open(&ada, &adas).await);
    for (person, stale) in [
        (&bob, bobs),
        (&ada, SmsSpend { last_for_person: SmsTurn::default(), ..spend(&it, &ada).await }),
        (&ada, SmsSpend { horizon: 0, ..spend(&it, &ada).await }),
    ] {
        let before = sql::every_value(&it.database).await;
        assert!(!open(person, &stale).await);
        assert_eq!(sql::every_value(&it.database).await, before);
    }
    assert!(open(&bob, &spend(&it, &bob).await).await);
}

async fn a_message_that_no_provider_accepted_is_refunded_after_a_later_message(it: TestStore) {
    let [ada, bob] = persons_with_one_number(&it).await;
    let not_taken = spend(&it, &ada).await;
    assert!(ask(&it, &ada, 1, &not_taken).await);
    assert!(ask(&it, &bob, 2, &spend(&it, &bob).await).await);
    it.close_binding(&acme(), challenge_id(1), now(), Some(&not_taken), &record()).await.unwrap();
    let left = "select person_id || ' ' || number from sms_sent where sent_at > 0";
    assert_eq!(sql::texts(it.database.url(), left).await, ["bob +4915112345678"]);
    assert!(ask(&it, &ada, 3, &spend(&it, &ada).await).await);
}

async fn a_partner_put_far_ahead_by_a_wrong_clock_may_send(it: TestStore) {
    let [ada, _] = persons_with_one_number(&it).await;
    let last_year = SmsSpend { at: now() + chrono::TimeDelta::days(365), ..spend(&it, &ada).await };
    assert!(ask(&it, &ada, 1, &last_year).await);
    let spend = spend(&it, &ada).await;
    assert_eq!(spend.last_for_person, SmsTurn { turn: 1, sent_at: last_year.at.timestamp_micros() });
    assert!(ask(&it, &ada, 2, &spend).await);
}
