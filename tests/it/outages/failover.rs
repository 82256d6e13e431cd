//! Failover: the primary fails, its synchronous standby is promoted, and every acknowledged write is there.

use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};
use tokio::task::block_in_place;

use super::postgres_unreachable::report;
use super::{load_on, server};
use crate::harness::virtual_address::VirtualAddress;
use crate::harness::{PostgresServer, can_start_servers_for, number_from_environment};

/// Enough rounds for the new primary to serve every worker.
const SERVED_AGAIN: usize = 10;

/// A primary with synchronous replication, and its standby.
async fn pair() -> (PostgresServer, PostgresServer) {
    let primary = server().await;
    let standby = block_in_place(|| primary.standby()).unwrap();
    let mut administrator = PgConnection::connect(&primary.url("postgres")).await.unwrap();
    for statement in ["alter system set synchronous_standby_names = '*'", "select pg_reload_conf()"] {
        sqlx::query(statement).execute(&mut administrator).await.unwrap();
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    let synchronous = "select exists (select from pg_stat_replication where sync_state = 'sync')
                          and current_setting('synchronous_commit') = 'on'";
    while !sqlx::query_scalar::<_, bool>(synchronous).fetch_one(&mut administrator).await.unwrap() {
        assert!(Instant::now() < deadline, "the standby does not become synchronous");
    }
    (primary, standby)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promoted_standby_has_every_acknowledged_write() {
    if !can_start_servers_for("outages::failover::a_promoted_standby_has_every_acknowledged_write") {
        return;
    }
    let (primary, mut standby) = pair().await;
    let address = VirtualAddress::of(&primary.url("postgres")).await;
    let load = load_on(address.url()).await;
    primary.kill();
    load.refusals(8).await;
    block_in_place(|| standby.promote()).unwrap();
    address.move_to(&standby.url("postgres"));
    let recovery = load.rounds(SERVED_AGAIN).await;
    report("primary killed, standby promoted", load.end().await, recovery);
}

/// The old primary closes no connection: those of the service stay open and never answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_to_a_frozen_primary_are_abandoned() {
    if !can_start_servers_for("outages::failover::connections_to_a_frozen_primary_are_abandoned") {
        return;
    }
    let (primary, mut standby) = pair().await;
    let address = VirtualAddress::of(&primary.url("postgres")).await;
    let load = load_on(address.url()).await;
    let frozen = primary.freeze();
    block_in_place(|| standby.promote()).unwrap();
    address.move_to(&standby.url("postgres"));
    let recovery = load.rounds(SERVED_AGAIN).await;
    report("primary frozen, standby promoted", load.end().await, recovery);
    drop(frozen);
}

/// Patroni demotes a primary that cannot renew its lease, and promotes another server when the lease has ended: 30 to 40
/// seconds with its default times (`ttl` 30, `loop_wait` 10). `FAILOVER_SECONDS=40` makes this test wait as long. The old
/// primary stays reachable, read-only, and the service has connections to it when the address moves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_patroni_demotes_is_left() {
    if !can_start_servers_for("outages::failover::a_primary_that_patroni_demotes_is_left") {
        return;
    }
    let without_primary = Duration::from_secs(number_from_environment("FAILOVER_SECONDS", 2));
    let (mut primary, mut standby) = pair().await;
    let address = VirtualAddress::of(&primary.url("postgres")).await;
    let load = load_on(address.url()).await;
    block_in_place(|| primary.demote()).unwrap();
    let demoted = Instant::now();
    load.refusals(8).await;
    // A read-only server still serves reads.
    load.readiness().await;
    while demoted.elapsed() < without_primary {
        load.refusals(1).await;
    }
    block_in_place(|| standby.promote()).unwrap();
    address.move_to(&standby.url("postgres"));
    let recovery = load.rounds(SERVED_AGAIN).await;
    report("primary demoted, standby promoted", load.end().await, recovery);
}

/// `statement_timeout` does not end a commit that waits for a standby. Reads succeed when they get one of the few
/// connections between two such commits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_synchronous_standby_nothing_is_acknowledged() {
    if !can_start_servers_for("outages::failover::without_its_synchronous_standby_nothing_is_acknowledged") {
        return;
    }
    let (primary, mut standby) = pair().await;
    let load = load_on(&primary.url("postgres")).await;
    block_in_place(|| standby.stop()).unwrap();
    load.refusals(8).await;
    load.readiness().await;
    block_in_place(|| standby.start_again()).unwrap();
    let recovery = load.rounds(SERVED_AGAIN).await;
    report("synchronous standby stopped", load.end().await, recovery);
}
