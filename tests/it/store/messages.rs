//! Messages are counted once each, and only those that are sent: what comes too late changes nothing at all.

use device_management::domain::challenges::ChallengeId;
use device_management::domain::person::PersonId;
use device_management::domain::sms::limits::{PartnerRate, SmsLimits, SmsSpend, SmsTurn};
use device_management::store::NumberCode;

use super::{DONE, TestStore, acme, binding, challenge_id, fresh_id, key, now, number, person, record};
use crate::harness::{in_every_form, sql};

in_every_form![
    a_message_costs_nothing_when_another_to_the_number_was_counted_first,
    a_message_costs_nothing_when_another_for_the_person_was_counted_first,
    a_message_costs_nothing_when_the_partner_is_at_its_rate,
    a_message_costs_nothing_when_the_person_has_no_such_number,
    a_confirmation_costs_nothing_when_another_message_was_counted_first,
    a_message_that_no_provider_took_is_taken_back_though_another_was_sent_since,
    a_partner_whom_a_wrong_clock_put_far_ahead_may_send,
];

pub(super) fn limits() -> SmsLimits {
    let windows: fn() -> _ = || "5/1h".parse().unwrap();
    SmsLimits { per_number: windows(), per_person: windows(), per_partner: PartnerRate { per_second: 1, burst: 3 } }
}

/// What a message for this person costs, as of now.
pub(super) async fn spend(it: &TestStore, person: &PersonId) -> SmsSpend {
    let prospects = it.binding_prospects(&acme(), person, &key(1)).await.unwrap().unwrap();
    limits().spend(&prospects.sms, now())
}

/// Asks for a device, and whether that was counted.
pub(super) async fn ask(it: &TestStore, person: &PersonId, seed: u32, spend: &SmsSpend) -> bool {
    it.open_binding(&acme(), &binding(person, seed), Some(spend), &record()).await.unwrap() == DONE
}

/// The same of an attempt that must not change anything.
pub(super) async fn ask_in_vain(it: &TestStore, person: &PersonId, seed: u32, spend: &SmsSpend) {
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

async fn a_message_costs_nothing_when_another_to_the_number_was_counted_first(it: TestStore) {
    let [ada, bob] = persons_with_one_number(&it).await;
    let [adas, bobs] = [spend(&it, &ada).await, spend(&it, &bob).await];
    assert!(ask(&it, &ada, 1, &adas).await);
    ask_in_vain(&it, &bob, 2, &bobs).await;
    assert!(ask(&it, &bob, 2, &spend(&it, &bob).await).await);
    ask_in_vain(&it, &bob, 3, &SmsSpend { last_to_number: SmsTurn::default(), ..spend(&it, &bob).await }).await;
}

async fn a_message_costs_nothing_when_another_for_the_person_was_counted_first(it: TestStore) {
    let [ada, _] = persons_with_one_number(&it).await;
    let first = spend(&it, &ada).await;
    assert!(ask(&it, &ada, 1, &first).await);
    ask_in_vain(&it, &ada, 2, &first).await;
    // The number may have changed meanwhile.
    ask_in_vain(&it, &ada, 2, &SmsSpend { last_for_person: SmsTurn::default(), ..spend(&it, &ada).await }).await;
}

async fn a_message_costs_nothing_when_the_partner_is_at_its_rate(it: TestStore) {
    let [ada, _] = persons_with_one_number(&it).await;
    for seed in 1..=3 {
        assert!(ask(&it, &ada, seed, &spend(&it, &ada).await).await);
    }
    ask_in_vain(&it, &ada, 4, &spend(&it, &ada).await).await;
}

async fn a_message_costs_nothing_when_the_person_has_no_such_number(it: TestStore) {
    let [ada, bob] = persons_with_one_number(&it).await;
    let adas = spend(&it, &ada).await;
    assert!(it.delete_mobile_number(&acme(), &ada, None, now(), &record()).await.unwrap().is_some());
    ask_in_vain(&it, &ada, 1, &adas).await;
    assert!(ask(&it, &bob, 2, &spend(&it, &bob).await).await);
}

async fn a_confirmation_costs_nothing_when_another_message_was_counted_first(it: TestStore) {
    let [ada, bob] = persons_with_one_number(&it).await;
    let [adas, bobs] = [spend(&it, &ada).await, spend(&it, &bob).await];
    let open = async |person: &PersonId, spend: &SmsSpend| {
        let id = ChallengeId::from(fresh_id());
        let code = NumberCode { id, otp_version: 1, expires_at: now() };
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

async fn a_message_that_no_provider_took_is_taken_back_though_another_was_sent_since(it: TestStore) {
    let [ada, bob] = persons_with_one_number(&it).await;
    let not_taken = spend(&it, &ada).await;
    assert!(ask(&it, &ada, 1, &not_taken).await);
    assert!(ask(&it, &bob, 2, &spend(&it, &bob).await).await);
    it.close_binding(&acme(), challenge_id(1), now(), Some(&not_taken), &record()).await.unwrap();
    let left = "select person_id || ' ' || number from sms_sent where sent_at > 0";
    assert_eq!(sql::texts(it.database.url(), left).await, ["bob +4915112345678"]);
    assert!(ask(&it, &ada, 3, &spend(&it, &ada).await).await);
}

async fn a_partner_whom_a_wrong_clock_put_far_ahead_may_send(it: TestStore) {
    let [ada, _] = persons_with_one_number(&it).await;
    let last_year = SmsSpend { at: now() + chrono::TimeDelta::days(365), ..spend(&it, &ada).await };
    assert!(ask(&it, &ada, 1, &last_year).await);
    let spend = spend(&it, &ada).await;
    assert_eq!(spend.last_for_person, SmsTurn { turn: 1, sent_at: last_year.at.timestamp_micros() });
    assert!(ask(&it, &ada, 2, &spend).await);
}
