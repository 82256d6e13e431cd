//! Crash tests: SIGKILL at random moments under mixed load. Acknowledged changes are kept, unacknowledged ones took
//! effect as a whole or not at all, and nothing took effect twice. On Postgres there are two replicas, and either may
//! be killed.
//!
//! `KILLS` sets the number of kills, `SEED` the random choices. Scheduling is not reproducible, so a seed repeats the
//! choices and not the whole run.

mod account;
mod caller;
mod fleet;
mod phones;
mod reckoning;
mod story;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;

use super::sandbox_on;
use crate::harness::{Engine, TestDatabase, number_from_environment, on_both_databases};
use account::{Account, Figures};
use caller::Caller;
use fleet::Fleet;
use phones::Phones;

on_both_databases![acknowledged_changes_survive_kills_and_nothing_happens_twice];

/// The number of kills in the normal suite.
const KILLS: usize = 10;

/// Concurrent clients.
const CALLERS: u32 = 8;

/// The most requests, answers and messages between a start and the next kill.
const EVENTS_MAX: u64 = 300;

async fn acknowledged_changes_survive_kills_and_nothing_happens_twice(database: TestDatabase) {
    let (kills, seed) = (number_from_environment("KILLS", KILLS), number_from_environment("SEED", 1));
    let _on_failure = Hint(format!("to choose the same again: KILLS={kills} SEED={seed}\n"));
    let started = Instant::now();
    let phones = Arc::new(Phones::start().await);
    let program = || phones.used_by(sandbox_on(&database).with("SANDBOX_OTP", "random"));
    let replicas = if database.engine() == Engine::Postgres { 2 } else { 1 };
    let fleet = Arc::new(Fleet::start((0..replicas).map(|_| program()).collect(), &database, &phones).await);

    let (accounts, figures) = load(&fleet, &phones, kills, seed).await;
    fleet.stop().await;
    reckoning::assert_sealed(&program());
    reckoning::assert_right(&database, &accounts, &phones.messages()).await;
    figures.assert_covered(kills);
    let took = started.elapsed();
    let report = format!("{:?}: {kills} kills, {} persons, {figures}, {took:.1?}\n", database.engine(), accounts.len());
    std::io::stderr().write_all(report.as_bytes()).unwrap();
}

/// Runs the callers until there were enough kills; each caller then completes its current story.
async fn load(fleet: &Arc<Fleet>, phones: &Arc<Phones>, kills: usize, seed: u64) -> (Vec<Account>, Figures) {
    let enough = Arc::new(AtomicBool::new(false));
    let mut seeds = StdRng::seed_from_u64(seed);
    let mut callers = JoinSet::new();
    for number in 0..CALLERS {
        let random = StdRng::seed_from_u64(seeds.random());
        let mut caller = Caller::new(number, fleet.clone(), phones.clone(), random);
        let enough = enough.clone();
        callers.spawn(async move {
            let mut accounts = Vec::new();
            while !enough.load(Ordering::Relaxed) {
                accounts.push(caller.story().await);
            }
            (accounts, caller.figures)
        });
    }
    let mut killers = JoinSet::new();
    let replicas = fleet.size();
    for replica in 0..replicas {
        let (fleet, mut random) = (fleet.clone(), StdRng::seed_from_u64(seeds.random()));
        killers.spawn(async move {
            for _ in 0..(kills + replica) / replicas {
                fleet.events(random.random_range(0..=EVENTS_MAX)).await;
                fleet.kill_and_start(replica).await;
            }
        });
    }
    while !killers.is_empty() {
        tokio::select! {
            Some(killed) = killers.join_next() => killed.expect("each killed replica starts again"),
            Some(ended) = callers.join_next() => drop(ended.expect("every answer is right")),
        }
    }
    enough.store(true, Ordering::Relaxed);
    let (mut accounts, mut figures) = (Vec::new(), Figures::default());
    while let Some(ended) = callers.join_next().await {
        let (more, counted) = ended.expect("every answer is right");
        accounts.extend(more);
        figures.add(counted);
    }
    (accounts, figures)
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
