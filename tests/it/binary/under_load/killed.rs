//! Crash tests: SIGKILL at random moments under mixed load. Acknowledged changes are kept, unacknowledged ones took
//! effect as a whole or not at all, and nothing took effect twice. On Postgres there are two replicas, and either may
//! be killed. `KILLS` sets the number of kills.

use std::io::Write;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;

use super::acknowledged::{Acknowledged, Figures};
use super::processes::Processes;
use super::sms_gateway::SmsGateway;
use super::{Load, consistency};
use crate::binary::sandbox_on;
use crate::harness::{Engine, TestDatabase, number_from_environment, on_both_databases};

on_both_databases![acknowledged_changes_survive_kills_and_nothing_happens_twice];

/// The number of kills in the normal suite.
const KILLS: usize = 10;

/// The most requests, answers and messages between a start and the next kill.
const EVENTS_MAX: u64 = 300;

async fn acknowledged_changes_survive_kills_and_nothing_happens_twice(database: TestDatabase) {
    let (kills, seed) = (number_from_environment("KILLS", KILLS), number_from_environment("SEED", 1));
    let _on_failure = Hint(format!("to choose the same again: KILLS={kills} SEED={seed}\n"));
    let started = Instant::now();
    let gateway = Arc::new(SmsGateway::start().await);
    let program = || gateway.used_by(sandbox_on(&database).with("SANDBOX_OTP", "random"));
    let replicas = if database.engine() == Engine::Postgres { 2 } else { 1 };
    let processes = Arc::new(Processes::start((0..replicas).map(|_| program()).collect(), &database, &gateway).await);

    let (accounts, figures) = load(&processes, &gateway, kills, seed).await;
    processes.stop().await;
    assert_eq!(processes.unavailable(), 0, "the database was available throughout");
    consistency::assert_sealed(&program());
    consistency::assert_right(&database, &accounts, &gateway.messages()).await;
    figures.assert_covered(kills);
    let took = started.elapsed();
    let report = format!("{:?}: {kills} kills, {} persons, {figures}, {took:.1?}\n", database.engine(), accounts.len());
    std::io::stderr().write_all(report.as_bytes()).unwrap();
}

/// Runs the clients until there were enough kills.
async fn load(
    processes: &Arc<Processes>,
    gateway: &Arc<SmsGateway>,
    kills: usize,
    seed: u64,
) -> (Vec<Acknowledged>, Figures) {
    let mut seeds = StdRng::seed_from_u64(seed);
    let mut load = Load::start(processes, gateway, &mut seeds, false);
    let mut killers = JoinSet::new();
    let replicas = processes.size();
    for replica in 0..replicas {
        let (processes, mut random) = (processes.clone(), StdRng::seed_from_u64(seeds.random()));
        killers.spawn(async move {
            for _ in 0..(kills + replica) / replicas {
                processes.events(random.random_range(0..=EVENTS_MAX)).await;
                processes.kill_and_start(replica).await;
            }
        });
    }
    while let Some(killed) = load.during(killers.join_next()).await {
        killed.expect("each killed replica starts again");
    }
    load.stop().await
}

/// Prints how to repeat a failed run.
struct Hint(String);

impl Drop for Hint {
    fn drop(&mut self) {
        if thread::panicking() {
            let _ = std::io::stderr().write_all(self.0.as_bytes());
        }
    }
}
