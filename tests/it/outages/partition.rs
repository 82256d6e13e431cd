//! A network partition: packets are dropped, and neither side learns that the connection is lost.

use std::time::Instant;

use super::{PATIENCE, SETTINGS, SLACK, STORE_DEADLINE};
use crate::harness::broken_wire::BrokenWire;
use crate::harness::fault::Moment;
use crate::harness::{Engine, Phone, TestApp, books};

/// Transactions of the service that are idle.
const IDLE: &str = "select count(*) from pg_stat_activity
                     where datname = current_database() and state = 'idle in transaction'";

/// Round trips after which the transaction has begun and locked the person's row, and has not ended.
const WITHIN_THE_TRANSACTION: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_lost_its_client_leaves_no_lock_behind() {
    if !Engine::Postgres
        .is_there_for("outages::partition::a_transaction_that_lost_its_client_leaves_no_lock_behind")
        .await
    {
        return;
    }
    let app = TestApp::with(Engine::Postgres, &[]).await;
    let acme = app.partner();
    acme.verified_person("ada").await;
    let device = format!("/v1/mfa/devices/{}", acme.bind("ada", &Phone::new(1)).await.id);
    let wire = BrokenWire::to(app.database.url()).await;
    let settings = [&SETTINGS[..], &[("DATABASE_URL", wire.url())]].concat();
    let shaky = acme.through(app.replica(&settings).await);

    wire.plan().break_after(WITHIN_THE_TRANSACTION, Moment::Silence);
    let started = Instant::now();
    let deletion = tokio::spawn({
        let (shaky, device) = (shaky.clone(), device.clone());
        async move { shaky.delete(&device).await }
    });
    while books::count(&app.database, IDLE).await == 0 {
        assert!(!deletion.is_finished(), "the connection broke outside the transaction");
    }
    deletion.await.unwrap().assert_status(503);
    assert!(started.elapsed() < STORE_DEADLINE + SLACK, "the answer took {:?}", started.elapsed());

    // The server ends the transaction.
    while shaky.delete(&device).await.status == 503 {
        assert!(started.elapsed() < PATIENCE, "the lock is never released");
    }
    shaky.delete(&device).await.assert_status(404);
    assert_eq!(books::count(&app.database, IDLE).await, 0);
    books::assert_balanced(&app.database).await;
}
