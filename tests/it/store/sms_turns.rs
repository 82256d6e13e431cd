//! Turns of messages to a number and for a person: a turn is used once, even if the messages that the limits were
//! checked against are refunded, deleted by housekeeping or erased before the next one is written.

use chrono::TimeDelta;
use device_management::domain::person::PersonId;
use device_management::domain::sms::limits::{SmsSpend, SmsTurn};
use device_management::store::ExpiredRows;
use sqlx::{Connection, PgConnection};

use super::messages::{ask, ask_overtaken, persons_with_one_number, spend};
use super::{DONE, TestStore, acme, binding, challenge_id, now, person, record};
use crate::harness::{Engine, Start, on_both_databases_and_citus};

on_both_databases_and_citus![
    the_turn_of_a_refunded_message_is_not_reused,
    a_message_checked_against_one_that_housekeeping_deleted_is_overtaken,
    a_message_checked_before_another_was_written_is_overtaken,
    a_message_checked_before_its_person_was_erased_is_overtaken,
    a_message_checked_before_its_number_was_erased_is_overtaken,
    concurrent_writes_and_deletions_of_messages_do_not_deadlock,
];

/// The same message, sent later.
fn later(seconds: i64, spend: SmsSpend) -> SmsSpend {
    SmsSpend { at: spend.at + TimeDelta::seconds(seconds), ..spend }
}

/// Deletes messages sent before now plus this many seconds.
async fn sweep(it: &TestStore, seconds: i64) -> usize {
    it.sweep(ExpiredRows::Messages, now() + TimeDelta::seconds(seconds)).await.unwrap()
}

async fn erase(it: &TestStore, name: &PersonId) {
    while it.erase_step(&acme(), name, &person("erased"), &record().event, now()).await.unwrap().unwrap().goes_on {}
}

async fn the_turn_of_a_refunded_message_is_not_reused(it: TestStore) {
    let [ada, bob] = persons_with_one_number(&it).await;
    let (before_it, adas) = (spend(&it, &bob).await, spend(&it, &ada).await);
    assert!(ask(&it, &ada, 1, &adas).await);
    let after_it = spend(&it, &bob).await;
    it.close_binding(&acme(), challenge_id(1), now(), Some(&adas), &record()).await.unwrap();
    ask_overtaken(&it, &bob, 2, &before_it).await;
    ask_overtaken(&it, &bob, 2, &after_it).await;
    let bobs = spend(&it, &bob).await;
    assert_eq!(bobs.last_to_number, SmsTurn { turn: 1, sent_at: 0 });
    assert!(ask(&it, &bob, 2, &bobs).await);
    for stale in [before_it, after_it, bobs] {
        ask_overtaken(&it, &bob, 3, &stale).await;
    }
}

async fn a_message_checked_against_one_that_housekeeping_deleted_is_overtaken(it: TestStore) {
    let [ada, bob] = persons_with_one_number(&it).await;
    assert!(ask(&it, &ada, 1, &spend(&it, &ada).await).await);
    let stale = spend(&it, &bob).await;
    assert_eq!(sweep(&it, 1).await, 1);
    ask_overtaken(&it, &bob, 2, &stale).await;
    // Another message finds no predecessor and gets the first turn.
    assert!(ask(&it, &ada, 3, &later(1, spend(&it, &ada).await)).await);
    ask_overtaken(&it, &bob, 2, &stale).await;
    let fresh = spend(&it, &bob).await;
    assert_eq!(fresh.last_to_number.turn, 1);
    assert!(ask(&it, &bob, 2, &fresh).await);
}

async fn a_message_checked_before_another_was_written_is_overtaken(it: TestStore) {
    let [ada, bob] = persons_with_one_number(&it).await;
    let stale = spend(&it, &bob).await;
    assert!(ask(&it, &ada, 1, &spend(&it, &ada).await).await);
    assert!(ask(&it, &ada, 2, &later(60, spend(&it, &ada).await)).await);
    // The first turn is free again, the second is taken.
    assert_eq!(sweep(&it, 1).await, 1);
    ask_overtaken(&it, &bob, 3, &stale).await;
}

async fn a_message_checked_before_its_person_was_erased_is_overtaken(it: TestStore) {
    let ada = person("ada");
    it.verified(&acme(), &ada).await;
    assert!(ask(&it, &ada, 1, &spend(&it, &ada).await).await);
    let stale = spend(&it, &ada).await;
    erase(&it, &ada).await;
    it.verified(&acme(), &ada).await;
    ask_overtaken(&it, &ada, 2, &stale).await;
    // A new first message is not the one that the limits were checked against.
    assert!(ask(&it, &ada, 3, &later(1, spend(&it, &ada).await)).await);
    ask_overtaken(&it, &ada, 2, &stale).await;
    assert!(ask(&it, &ada, 2, &later(1, spend(&it, &ada).await)).await);
}

async fn a_message_checked_before_its_number_was_erased_is_overtaken(it: TestStore) {
    let [ada, bob] = persons_with_one_number(&it).await;
    assert!(ask(&it, &bob, 1, &spend(&it, &bob).await).await);
    let stale = spend(&it, &bob).await;
    // Erasing Ada also removes the number, which only she has now, from the message for Bob.
    it.delete_mobile_number(&acme(), &bob, None, now(), &record()).await.unwrap().unwrap();
    erase(&it, &ada).await;
    it.verified(&acme(), &bob).await;
    ask_overtaken(&it, &bob, 2, &stale).await;
    let fresh = spend(&it, &bob).await;
    assert_eq!((fresh.last_to_number, fresh.last_for_person.turn), (SmsTurn::default(), 1));
    assert!(ask(&it, &bob, 2, &fresh).await);
    ask_overtaken(&it, &bob, 3, &stale).await;
}

/// All writes and deletions of messages, concurrently for persons who share a number: none fails, and each ends.
async fn concurrent_writes_and_deletions_of_messages_do_not_deadlock(it: TestStore) {
    let it = std::sync::Arc::new(it);
    let persons = ["ada", "bob", "cid", "dan"].map(person);
    for person in &persons {
        it.verified(&acme(), person).await;
    }
    let mut tasks = Vec::new();
    for (number, person) in (0..).zip(persons.iter().cycle().take(8).cloned()) {
        let it = it.clone();
        tasks.push(tokio::spawn(async move {
            for seed in 100 * number..100 * number + 25 {
                // Slower than the partner's rate.
                let Some(prospects) = it.binding_prospects(&acme(), &person, &super::key(1)).await.unwrap() else {
                    continue;
                };
                let spend = SmsSpend { horizon: i64::MAX, ..super::messages::limits().spend(&prospects.sms, now()) };
                let opened = it.open_binding(&acme(), &binding(&person, seed), Some(&spend), &record()).await.unwrap();
                if opened == DONE && seed % 2 == 0 {
                    it.close_binding(&acme(), challenge_id(seed), now(), Some(&spend), &record()).await.unwrap();
                }
            }
            0
        }));
    }
    for name in [persons[0].clone(), person("eve")] {
        let it = it.clone();
        tasks.push(tokio::spawn(async move {
            for _ in 0..10 {
                while it
                    .erase_step(&acme(), &name, &person("erased"), &record().event, now())
                    .await
                    .unwrap()
                    .is_some_and(|step| step.goes_on)
                {}
                it.verified(&acme(), &name).await;
            }
            0
        }));
    }
    let sweeper = it.clone();
    tasks.push(tokio::spawn(async move {
        let mut swept = 0;
        for _ in 0..40 {
            swept += sweep(&sweeper, 1).await;
        }
        swept
    }));
    for task in tasks {
        task.await.unwrap();
    }
    for (seed, person) in (1000..).zip(&persons) {
        let free = SmsSpend { horizon: i64::MAX, ..spend(&it, person).await };
        assert!(ask(&it, person, seed, &free).await);
        ask_overtaken(&it, person, seed + 1000, &free).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_does_not_wait_for_a_message_that_is_being_deleted() {
    if !Engine::Postgres.is_there_for("store::sms_turns::a_message_that_another_transaction_is_removing").await {
        return;
    }
    let it = TestStore::start(Engine::Postgres).await;
    let [ada, bob] = persons_with_one_number(&it).await;
    assert!(ask(&it, &ada, 1, &spend(&it, &ada).await).await);
    let bobs = spend(&it, &bob).await;
    let mut other = PgConnection::connect(it.database.url()).await.unwrap();
    for removal in ["delete from sms_sent", "update sms_sent set number = null"] {
        let mut transaction = other.begin().await.unwrap();
        sqlx::query(removal).execute(&mut *transaction).await.unwrap();
        ask_overtaken(&it, &bob, 2, &bobs).await;
        transaction.rollback().await.unwrap();
    }
    assert!(ask(&it, &bob, 2, &bobs).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_of_two_concurrent_messages_waits_and_is_overtaken() {
    if !Engine::Postgres.is_there_for("store::sms_turns::the_second_of_two_messages_at_once").await {
        return;
    }
    let it = TestStore::start(Engine::Postgres).await;
    let [_, bob] = persons_with_one_number(&it).await;
    let mut observer = PgConnection::connect(it.database.url()).await.unwrap();
    let mut other = PgConnection::connect(it.database.url()).await.unwrap();
    // One to Bob's number for another person, and one for Bob to another number.
    for (number, holder) in [("+4915112345678", "ada"), ("+4915187654321", "bob")] {
        let bobs = spend(&it, &bob).await;
        let mut transaction = other.begin().await.unwrap();
        let first =
            "insert into sms_sent (partner_id, message_id, number, number_turn, person_id, person_turn, sent_at)
                     values ('acme', gen_random_uuid(), $1, 1, $2, 1, 1)";
        sqlx::query(first).bind(number).bind(holder).execute(&mut *transaction).await.unwrap();
        let second = ask(&it, &bob, 2, &bobs);
        let commit = async {
            let waiting = "select count(*) from pg_stat_activity
                            where datname = current_database() and wait_event_type = 'Lock'";
            while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut observer).await.unwrap() == 0 {
                tokio::task::yield_now().await;
            }
            transaction.commit().await.unwrap();
        };
        assert!(!tokio::join!(second, commit).0, "{number} {holder}");
        sqlx::query("delete from sms_sent").execute(&mut other).await.unwrap();
    }
    assert!(ask(&it, &bob, 2, &spend(&it, &bob).await).await);
}
