//! Model tests: SQLite, Postgres and both forms of its hot writes run the same random operations and must return the
//! same answers and leave the same rows; concurrent operations must leave a state that some serial order could leave.
//!
//! Answers about device challenges and activation codes are also compared with their rules (`rules`).
//!
//! `CASES` sets their number, `SEED` selects others. A failure prints the shortest sequence that reproduces it.

mod operation;
mod pairs;
mod rules;
mod tables;
mod world;

use std::cell::RefCell;
use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use self::operation::{Call, Operation, calls, challenge_calls, sequences};
use self::tables::Readers;
use self::world::{Outcome, World};
use crate::harness::{Engine, books, number_from_environment};

/// Sequences in a default run, and operations per sequence.
const CASES: u32 = 16;
const OPERATIONS: usize = 80;

/// Tests a property with `CASES` random inputs. Panics with the smallest input that breaks it.
pub(super) fn check_property<S: Strategy>(
    strategy: &S,
    usual: u32,
    test: impl AsyncFn(S::Value) -> Result<(), TestCaseError>,
) {
    let cases = number_from_environment("CASES", usual);
    let settings =
        ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 400, ..ProptestConfig::default() };
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&number_from_environment("SEED", 14_u64).to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let runtime = Handle::current();
    let check = |input| block_in_place(|| runtime.block_on(test(input)));
    TestRunner::new_with_rng(settings, rng).run(strategy, check).unwrap_or_else(|fault| panic!("{fault}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_engines_and_write_forms_agree_on_answers_and_rows() {
    let test = "model::all_engines_and_write_forms_agree_on_answers_and_rows";
    compare_sequences_of(calls(), OPERATIONS, REQUIRED_COVERAGE, test).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_engines_and_write_forms_agree_on_device_challenges_and_activation_codes() {
    let test = "model::all_engines_and_write_forms_agree_on_device_challenges_and_activation_codes";
    compare_sequences_of(challenge_calls(), 2 * OPERATIONS, REQUIRED_COVERAGE_OF_CHALLENGES, test).await;
}

async fn compare_sequences_of(calls: impl Strategy<Value = Call>, length: usize, required: &[(&str, u16)], test: &str) {
    if !Engine::Postgres.is_there_for(test).await {
        return;
    }
    let coverage = RefCell::new(Coverage::new());
    check_property(&sequences(calls, length / 2..=length), CASES, async |operations: Vec<Operation>| {
        // The first, with plain statements in transactions, is the reference.
        compare(&operations, &[Engine::Distributed, Engine::Postgres, Engine::Sqlite], &coverage).await
    });
    let coverage = coverage.into_inner();
    for path in required {
        assert!(coverage.contains_key(path), "no sequence reached {path:?}: {coverage:#?}");
    }
}

/// Number of answers per call and status.
type Coverage = BTreeMap<(&'static str, u16), u32>;

/// Calls and statuses that a default run must reach for the comparison to be meaningful.
const REQUIRED_COVERAGE: &[(&str, u16)] = &[
    ("create number", 201),
    ("create number", 409),
    ("assert number", 201),
    ("delete number", 200),
    ("authorize", 201),
    ("authorize", 404),
    ("authorize", 429),
    ("confirm", 201),
    ("confirm", 403),
    ("request device", 202),
    ("request device", 400),
    ("request device", 409),
    ("request device", 429),
    ("request device", 502),
    ("answer", 204),
    ("answer", 400),
    ("answer", 403),
    ("answer", 404),
    ("add key", 201),
    ("add key", 403),
    ("delete device", 204),
    ("list devices", 200),
    ("open challenge", 201),
    ("approve", 204),
    ("create activation code", 201),
    ("request device by code", 202),
];

const REQUIRED_COVERAGE_OF_CHALLENGES: &[(&str, u16)] = &[
    ("open challenge", 201),
    ("open challenge", 400),
    ("open challenge", 429),
    ("approve", 204),
    ("approve", 400),
    ("approve", 403),
    ("approve", 404),
    ("approve", 429),
    ("decline", 204),
    ("decline", 403),
    ("decline", 404),
    ("create activation code", 201),
    ("create activation code", 409),
    ("request device by code", 202),
    ("request device by code", 400),
];

/// Few sequences, because each step reads every shard.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn citus_agrees_with_sqlite_on_answers_and_rows() {
    if !Engine::Citus.is_there_for("model::citus_agrees_with_sqlite_on_answers_and_rows").await {
        return;
    }
    let test = async |operations: Vec<Operation>| {
        compare(&operations, &[Engine::Citus, Engine::Sqlite], &RefCell::default()).await
    };
    check_property(&sequences(calls(), OPERATIONS / 2..=OPERATIONS), 2, test);
    check_property(&sequences(challenge_calls(), OPERATIONS / 2..=OPERATIONS), 2, test);
}

async fn compare(
    operations: &[Operation],
    engines: &[Engine],
    coverage: &RefCell<Coverage>,
) -> Result<(), TestCaseError> {
    let mut worlds = Vec::new();
    for &engine in engines {
        worlds.push((engine, World::on(engine).await));
    }
    let mut readers = Readers::of(worlds.iter().map(|(_, world)| &world.app.database)).await;
    for (step, operation) in operations.iter().enumerate() {
        let mut outcomes = Vec::new();
        for (_, world) in &mut worlds {
            outcomes.push(world.run(operation).await);
        }
        let contents = readers.contents().await;
        for (other, (engine, _)) in worlds.iter().enumerate().skip(1) {
            prop_assert_eq!(&outcomes[0], &outcomes[other], "{:?} answers step {}", engine, step);
            for (table, rows) in &contents[0] {
                prop_assert_eq!(rows, &contents[other][table], "{:?} holds in {} after step {}", engine, table, step);
            }
        }
        if let (Operation::Request(call, _), Outcome::Answered(status, ..)) = (operation, &outcomes[0]) {
            *coverage.borrow_mut().entry((call.name(), *status)).or_default() += 1;
        }
    }
    for (_, world) in &worlds {
        books::assert_balanced(&world.app.database).await;
    }
    Ok(())
}
