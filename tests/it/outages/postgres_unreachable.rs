//! One Postgres server that stops, restarts, freezes, or terminates its connections.

use std::io::Write;
use std::time::{Duration, Instant};

use chrono::TimeDelta;

use sqlx::{Connection, PgConnection};
use tokio::task::block_in_place;

use super::{SLACK, load_on, server};
use crate::harness::can_start_servers_for;

/// Enough rounds to show that every worker is served again: more than there are workers and connections.
const SERVED_AGAIN: usize = 10;

/// The deadline of a health check.
const PROBE_DEADLINE: Duration = Duration::from_secs(2);

/// Writes figures past the capture of test output: `docs/operations.md` quotes them.
pub(super) fn report(outage: &str, (refusals, slowest): (usize, Duration), recovery: Duration) {
    let figures = format!(
        "{outage}: {refusals} times 503, answered within {slowest:.1?}, {SERVED_AGAIN} rounds {recovery:.1?} after the end\n"
    );
    std::io::stderr().write_all(figures.as_bytes()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_and_starts_loses_nothing() {
    if !can_start_servers_for("outages::postgres_unreachable::a_server_that_stops_and_starts_loses_nothing") {
        return;
    }
    let mut server = server().await;
    let load = load_on(&server.url("postgres")).await;
    block_in_place(|| server.stop()).unwrap();
    load.refusals(8).await;
    block_in_place(|| server.start_again()).unwrap();
    let recovery = load.rounds(SERVED_AGAIN).await;
    report("stopped", load.end().await, recovery);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_restarts_under_load_loses_nothing() {
    if !can_start_servers_for("outages::postgres_unreachable::a_server_that_restarts_under_load_loses_nothing") {
        return;
    }
    let mut server = server().await;
    let load = load_on(&server.url("postgres")).await;
    for _ in 0..3 {
        block_in_place(|| server.restart()).unwrap();
        load.rounds(5).await;
    }
    let recovery = load.rounds(SERVED_AGAIN).await;
    report("restarted three times", load.end().await, recovery);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_to_a_frozen_server_get_503_in_time() {
    if !can_start_servers_for("outages::postgres_unreachable::requests_to_a_frozen_server_get_503_in_time") {
        return;
    }
    let server = server().await;
    let load = load_on(&server.url("postgres")).await;
    let frozen = server.freeze();
    // Each worker fails more than once: first on an open connection, then without one.
    load.refusals(12).await;
    for _ in 0..2 {
        let started = Instant::now();
        load.app.stranger().get("/readyz").await.assert_status(503);
        assert!(started.elapsed() < PROBE_DEADLINE + SLACK, "the probe took {:?}", started.elapsed());
        load.app.stranger().get("/healthz").await.assert_status(200);
        load.app.advance(TimeDelta::seconds(1));
    }
    drop(frozen);
    let recovery = load.rounds(SERVED_AGAIN).await;
    load.app.stranger().get("/readyz").await.assert_status(200);
    report("frozen", load.end().await, recovery);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn terminated_connections_fail_only_their_own_requests() {
    if !can_start_servers_for("outages::postgres_unreachable::terminated_connections_fail_only_their_own_requests") {
        return;
    }
    let server = server().await;
    let load = load_on(&server.url("postgres")).await;
    let mut administrator = PgConnection::connect(&server.url("postgres")).await.unwrap();
    for _ in 0..20 {
        sqlx::query(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'device-management'",
        )
        .fetch_all(&mut administrator)
        .await
        .unwrap();
        load.rounds(2).await;
    }
    let recovery = load.rounds(SERVED_AGAIN).await;
    report("connections cut twenty times", load.end().await, recovery);
}
