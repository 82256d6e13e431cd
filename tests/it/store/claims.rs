//! The claim under an idempotency key: one run holds it, and a run that has lost it has no effect.

use chrono::{DateTime, TimeDelta, Utc};
use device_management::domain::idempotency::{Claim, Claimed, LEASE, OutcomeToStore, Run, StoredOutcome};
use device_management::store::{Accepted, AuditRecord, StoreError};
use uuid::Uuid;

use super::{
    DONE, SALT, TestStore, Written, acceptance, acme, binding, device_id, now, person, record, wrong_signature,
};
use crate::harness::{books, in_every_form};

in_every_form![
    one_of_many_concurrent_runs_gets_the_claim,
    a_run_that_has_lost_its_claim_changes_nothing,
    a_run_that_has_lost_its_claim_does_not_end_the_other_run,
    a_run_that_ends_without_an_outcome_frees_the_key,
];

fn claim(run: u128, at: DateTime<Utc>) -> Claim {
    Claim { run: the_run(run), digests: vec![[2; 32]], partner: acme(), person: None, at }
}

fn the_run(run: u128) -> Run {
    Run { scope: [1; 32], claim_id: Uuid::from_u128(run), request_id: format!("request-{run}") }
}

fn outcome(status: u16) -> String {
    format!("{{\"Ok\":{status}}}")
}

fn outcome_of(run: u128, status: u16) -> OutcomeToStore {
    OutcomeToStore { run: the_run(run), outcome: Some(outcome(status)), person: None }
}

/// The outcome that this run has stored.
fn past(run: u128, status: u16) -> Claimed {
    Claimed::Before(StoredOutcome { outcome: outcome(status), request_id: format!("request-{run}") })
}

/// A record under the claim of this run.
fn under(run: u128, status: Option<u16>) -> AuditRecord {
    AuditRecord {
        to_store: Some(OutcomeToStore { run: the_run(run), outcome: status.map(outcome), person: None }),
        ..record()
    }
}

async fn one_of_many_concurrent_runs_gets_the_claim(it: TestStore) {
    let tasks: Vec<_> = (1..=40)
        .map(|run| {
            let store = it.store.clone();
            tokio::spawn(async move { store.claim_request(&claim(run, now())).await.unwrap() })
        })
        .collect();
    let mut won = 0;
    for task in tasks {
        match task.await.unwrap() {
            Claimed::Yes => won += 1,
            claimed => assert_eq!(claimed, Claimed::Running { until: now() + LEASE }),
        }
    }
    assert_eq!(won, 1);
}

async fn a_run_that_has_lost_its_claim_changes_nothing(it: TestStore) {
    let ada = person("ada");
    it.verified(&acme(), &ada).await;
    let (attempt, late) = (binding(&ada, 1), now() + LEASE);
    assert_eq!(it.claim_request(&claim(1, now())).await.unwrap(), Claimed::Yes);
    assert_eq!(it.claim_request(&claim(2, late)).await.unwrap(), Claimed::Yes);

    let opened = it.open_binding(&acme(), &attempt, None, &under(1, Some(202))).await;
    assert!(matches!(opened, Ok(Written::Overtaken) | Err(StoreError::ClaimLost)), "{opened:?}");
    assert!(!it.is_open(&acme(), attempt.id).await);
    it.open(&acme(), &attempt).await;
    let events = "select count(*) from audit_pending";
    let before = books::count(&it.database, events).await;
    let accepted = it.accept_binding(&acme(), &acceptance(&attempt), &under(1, Some(204))).await;
    assert!(matches!(accepted, Ok(Accepted::Overtaken) | Err(StoreError::ClaimLost)), "{accepted:?}");
    let counted = it.count_wrong_signature(&acme(), &wrong_signature(attempt.id, now()), &under(1, Some(403))).await;
    assert!(matches!(counted, Ok(Written::Overtaken) | Err(StoreError::ClaimLost)), "{counted:?}");
    let deleted = it.delete_device(&acme(), device_id(1), now(), &under(1, Some(204)), SALT).await;
    assert!(deleted.is_ok(), "a deletion without a device succeeds");
    let refused = it.record(&acme(), &under(1, Some(404))).await;
    assert!(matches!(refused, Err(StoreError::ClaimLost)), "{refused:?}");
    assert_eq!(books::count(&it.database, events).await, before);
    assert_eq!(books::count(&it.database, "select count(*) from device").await, 0);
    let untouched = "select count(*) from person where binding_wrong_signatures = 0 and failures = 0";
    assert_eq!(books::count(&it.database, untouched).await, 1);
    books::assert_balanced(&it.database).await;

    // The run that holds the claim can still write.
    let accepted = it.accept_binding(&acme(), &acceptance(&attempt), &under(2, Some(204))).await.unwrap();
    assert_eq!(accepted, Accepted::Bound);
    let over = it.claim_request(&claim(3, late + LEASE)).await.unwrap();
    assert_eq!(over, past(2, 204));
}

async fn a_run_that_has_lost_its_claim_does_not_end_the_other_run(it: TestStore) {
    let late = now() + LEASE;
    assert_eq!(it.claim_request(&claim(1, now())).await.unwrap(), Claimed::Yes);
    assert_eq!(it.claim_request(&claim(2, late)).await.unwrap(), Claimed::Yes);
    let lost = it.store_outcome(&acme(), &outcome_of(1, 204)).await;
    assert!(matches!(lost, Err(StoreError::ClaimLost)), "{lost:?}");
    it.end_request(&acme(), &the_run(1), late).await.unwrap();
    let running = it.claim_request(&claim(3, late + TimeDelta::seconds(1))).await.unwrap();
    assert_eq!(running, Claimed::Running { until: late + LEASE });
    it.store_outcome(&acme(), &outcome_of(2, 204)).await.unwrap();
    assert_eq!(it.claim_request(&claim(3, late)).await.unwrap(), Claimed::Running { until: late + LEASE });
    it.end_request(&acme(), &the_run(2), late).await.unwrap();
    assert_eq!(it.claim_request(&claim(3, late)).await.unwrap(), past(2, 204));
}

async fn a_run_that_ends_without_an_outcome_frees_the_key(it: TestStore) {
    let ada = person("ada");
    it.verified(&acme(), &ada).await;
    let attempt = binding(&ada, 1);
    assert_eq!(it.claim_request(&claim(1, now())).await.unwrap(), Claimed::Yes);
    assert_eq!(it.open_binding(&acme(), &attempt, None, &under(1, Some(202))).await.unwrap(), DONE);
    it.close_binding(&acme(), attempt.id, now(), None, &under(1, None)).await.unwrap();
    it.end_request(&acme(), &the_run(1), now()).await.unwrap();
    // The key is free, also for another body.
    let other = Claim { digests: vec![[3; 32]], ..claim(2, now()) };
    assert_eq!(it.claim_request(&other).await.unwrap(), Claimed::Yes);
    assert_eq!(it.claim_request(&claim(3, now())).await.unwrap(), Claimed::OtherRequest);
}
