//! The primary is lost and its synchronous standby takes over: what was acknowledged is there too.

use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};
use tokio::task::block_in_place;

use super::postgres_away::report;
use super::{load_on, server};
use crate::harness::virtual_address::VirtualAddress;
use crate::harness::{PostgresServer, can_start_servers_for};

/// Enough rounds for everybody to be served by the new primary.
const SERVED_AGAIN: usize = 10;

/// A primary that acknowledges a commit only when its standby has it too, and that standby.
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
        assert!(Instant::now() < deadline, "the standby does not follow");
    }
    (primary, standby)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_that_takes_over_has_all_that_was_acknowledged() {
    if !can_start_servers_for("outages::failover::a_standby_that_takes_over_has_all_that_was_acknowledged") {
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

/// Nobody tells the service that the old primary is gone: its connections just never answer again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_to_a_primary_that_never_answers_again_are_given_up() {
    if !can_start_servers_for("outages::failover::connections_to_a_primary_that_never_answers_again_are_given_up") {
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

/// A commit that waits for a standby is beyond the server's `statement_timeout`. What only reads goes on, as soon as it gets
/// one of the few connections between two such commits.
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
    report("synchronous standby away", load.end().await, recovery);
}
