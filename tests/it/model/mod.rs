//! Model tests: SQLite, Postgres and both forms of its hot writes run the same random operations and must return the
//! same answers and leave the same rows; concurrent operations must leave a state that some serial order could leave.
//!
//! `CASES` sets their number, `SEED` selects others. A failure prints the shortest sequence that reproduces it.

mod operation;
mod pairs;
mod tables;
mod world;

use std::cell::RefCell;
use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use self::operation::{Operation, sequences};
use self::tables::Readers;
use self::world::{Outcome, World};
use crate::harness::{Engine, books, number_from_environment};

/// Sequences in a default run, and operations per sequence.
const CASES: u32 = 16;
const OPERATIONS: usize = 80;

/// Runs a property on `CASES` inputs and reports the one that broke it.
pub(super) fn hold<S: Strategy>(strategy: &S, usual: u32, test: impl AsyncFn(S::Value) -> Result<(), TestCaseError>) {
    let cases = number_from_environment("CASES", usual);
    let settings =
        ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 400, ..ProptestConfig::default() };
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&number_from_environment("SEED", 14_u64).to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let runtime = Handle::current();
    let try_one = |input| block_in_place(|| runtime.block_on(test(input)));
    TestRunner::new_with_rng(settings, rng).run(strategy, try_one).unwrap_or_else(|fault| panic!("{fault}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_engines_and_write_forms_agree_on_answers_and_rows() {
    if !Engine::Postgres.is_there_for("model::all_engines_and_write_forms_agree_on_answers_and_rows").await {
        return;
    }
    let seen = RefCell::new(Seen::new());
    hold(&sequences(OPERATIONS / 2..=OPERATIONS), CASES, async |operations: Vec<Operation>| {
        compare(&operations, &seen).await
    });
    let seen = seen.into_inner();
    for path in LEADS_SOMEWHERE {
        assert!(seen.contains_key(path), "no sequence reached {path:?}: {seen:#?}");
    }
}

/// Number of answers per kind of request and status.
type Seen = BTreeMap<(&'static str, u16), u32>;

/// Kinds and statuses that a default run must reach for the comparison to be meaningful.
const LEADS_SOMEWHERE: &[(&str, u16)] = &[
    ("give number", 201),
    ("give number", 409),
    ("assert number", 201),
    ("delete number", 200),
    ("authorize", 201),
    ("authorize", 404),
    ("authorize", 429),
    ("confirm", 201),
    ("confirm", 403),
    ("ask", 202),
    ("ask", 400),
    ("ask", 409),
    ("ask", 429),
    ("ask", 502),
    ("answer", 204),
    ("answer", 400),
    ("answer", 403),
    ("answer", 404),
    ("add key", 201),
    ("add key", 403),
    ("delete device", 204),
    ("look", 200),
];

async fn compare(operations: &[Operation], seen: &RefCell<Seen>) -> Result<(), TestCaseError> {
    // The first is the reference.
    let mut worlds = Vec::new();
    for engine in [Engine::Distributed, Engine::Postgres, Engine::Sqlite] {
        worlds.push((engine, World::on(engine).await));
    }
    let mut readers = Readers::of(worlds.iter().map(|(_, world)| &world.app.database)).await;
    for (step, operation) in operations.iter().enumerate() {
        let mut outcomes = Vec::new();
        for (_, world) in &mut worlds {
            outcomes.push(world.make(operation).await);
        }
        let contents = readers.contents().await;
        for (other, (engine, _)) in worlds.iter().enumerate().skip(1) {
            prop_assert_eq!(&outcomes[0], &outcomes[other], "{:?} answers step {}", engine, step);
            for (table, rows) in &contents[0] {
                prop_assert_eq!(rows, &contents[other][table], "{:?} holds in {} after step {}", engine, table, step);
            }
        }
        if let (Operation::Request(deed, _), Outcome::Answered(status, ..)) = (operation, &outcomes[0]) {
            *seen.borrow_mut().entry((deed.name(), *status)).or_default() += 1;
        }
    }
    for (_, world) in &worlds {
        books::assert_balanced(&world.app.database).await;
    }
    Ok(())
}
