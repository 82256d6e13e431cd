//! Races at the level of the store: bindings that are opened and accepted, or opened and closed, concurrently.

use std::sync::Arc;

use device_management::store::Accepted;
use tokio::sync::Barrier;

use super::{DONE, TestStore, acceptance, acme, binding, challenge_id, number, person, record};
use crate::harness::{books, in_every_form};

in_every_form![concurrent_bindings_never_exceed_the_device_limit, no_binding_stays_open_after_its_number_is_deleted,];

async fn concurrent_bindings_never_exceed_the_device_limit(it: TestStore) {
    let ada = person("ada");
    it.verified(&acme(), &ada).await;
    for seed in 0..4 {
        it.bind(&acme(), &binding(&ada, seed)).await;
    }
    let start = Arc::new(Barrier::new(50));
    let tasks: Vec<_> = (100..150)
        .map(|seed| {
            let (store, start, attempt) = (it.store.clone(), start.clone(), binding(&ada, seed));
            tokio::spawn(async move {
                start.wait().await;
                assert_eq!(store.open_binding(&acme(), &attempt, None, &record()).await.unwrap(), DONE);
                store.accept_binding(&acme(), &acceptance(&attempt), &record()).await.unwrap()
            })
        })
        .collect();
    let mut bound = 0;
    for task in tasks {
        match task.await.unwrap() {
            Accepted::Bound => bound += 1,
            Accepted::Overtaken => {}
            Accepted::KeyTaken => panic!("every binding has its own key"),
        }
    }
    // The last binding was not superseded, so one was accepted.
    assert_eq!(bound, 1);
    let live = "select count(*) from device where deleted_at is null";
    assert_eq!(books::count(&it.database, live).await, 5);
    books::assert_balanced(&it.database).await;
}

async fn no_binding_stays_open_after_its_number_is_deleted(it: TestStore) {
    for seed in 0..20 {
        it.verified(&acme(), &person(&format!("person-{seed}"))).await;
    }
    let start = Arc::new(Barrier::new(40));
    let tasks: Vec<_> = (0..20)
        .flat_map(|seed| {
            let (attempt, ada) = (binding(&person(&format!("person-{seed}")), seed), person(&format!("person-{seed}")));
            let (store, barrier) = (it.store.clone(), start.clone());
            let open = tokio::spawn(async move {
                barrier.wait().await;
                // Before or after the deletion.
                let _ = store.open_binding(&acme(), &attempt, None, &record()).await.unwrap();
            });
            let (store, barrier) = (it.store.clone(), start.clone());
            let delete = tokio::spawn(async move {
                barrier.wait().await;
                let deleted = store.delete_mobile_number(&acme(), &ada, Some(&number()), super::now(), &record()).await;
                assert!(deleted.unwrap().is_some());
            });
            [open, delete]
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    for seed in 0..20 {
        assert!(!it.is_open(&acme(), challenge_id(seed)).await, "{seed}");
    }
}
