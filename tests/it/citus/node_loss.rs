//! The loss of a worker or of the coordinator under load.

use device_management::domain::clients::Permissions;
use device_management::domain::person::PartnerId;
use tokio::task::block_in_place;

use super::TwoPartners;
use crate::tokens::registry;

/// Enough rounds for every client of the load to be served again.
const SERVED_AGAIN: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partners_on_other_workers_are_served_while_a_worker_is_down() {
    let Some(mut partners) = TwoPartners::start().await else { return };
    for lost in [1, 0] {
        let other = 1 - lost;
        let before = partners.loads[other].refused();
        block_in_place(|| partners.cluster.workers[lost].stop()).unwrap();
        partners.loads[lost].refusals(8).await;
        partners.loads[other].rounds(SERVED_AGAIN).await;
        assert_eq!(partners.loads[other].refused(), before, "a request of a partner on the other worker got 503");
        // The clients are on each node, so that tokens do not depend on a worker.
        let app = &partners.loads[0].app;
        app.stranger().get("/readyz").await.assert_status(200);
        let service = &app.app.service;
        assert!(service.seal_audit_trail().await.is_err(), "sealing asks every worker");
        assert!(service.keep_house().await.is_err(), "housekeeping asks every worker");
        let acme = PartnerId::parse("acme").unwrap();
        let created = registry(app).create(acme, None, Permissions::all()).await;
        assert!(created.is_err(), "a client is written on every worker");
        block_in_place(|| partners.cluster.workers[lost].start_again()).unwrap();
        partners.loads[lost].rounds(SERVED_AGAIN).await;
    }
    let refused = partners.end().await;
    assert!(refused.iter().all(|refused| *refused >= 8), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_crashes_under_load_loses_no_acknowledged_write() {
    let Some(mut partners) = TwoPartners::start().await else { return };
    for _ in 0..3 {
        partners.cluster.workers[1].kill();
        partners.loads[1].refusals(4).await;
        block_in_place(|| partners.cluster.workers[1].start_again()).unwrap();
        partners.loads[1].rounds(5).await;
    }
    partners.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_crash_of_the_coordinator_all_partners_are_served_again() {
    let Some(mut partners) = TwoPartners::start().await else { return };
    partners.cluster.coordinator.kill();
    for load in &partners.loads {
        load.refusals(4).await;
    }
    block_in_place(|| partners.cluster.coordinator.start_again()).unwrap();
    for load in &partners.loads {
        load.rounds(SERVED_AGAIN).await;
    }
    partners.end().await;
}

/// It keeps its connections open and does not answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_to_a_frozen_worker_get_503_in_time_and_all_partners_recover() {
    let Some(partners) = TwoPartners::start().await else { return };
    let frozen = partners.cluster.workers[1].freeze();
    partners.loads[1].refusals(8).await;
    drop(frozen);
    for load in &partners.loads {
        load.rounds(SERVED_AGAIN).await;
    }
    partners.end().await;
}
