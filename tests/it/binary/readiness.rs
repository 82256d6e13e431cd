//! How soon after its start the service serves.

use std::io::Write;
use std::time::{Duration, Instant};

use super::{exit_code, sandbox_on};
use crate::harness::{TestDatabase, on_both_databases};

on_both_databases![it_is_ready_a_moment_after_its_start];

/// What platforms that scale by demand need. Of the release build: the other one takes its time.
const READY_WITHIN: Duration = Duration::from_millis(200);

async fn it_is_ready_a_moment_after_its_start(database: TestDatabase) {
    let program = sandbox_on(&database);
    let mut times = Vec::new();
    for _ in 0..3 {
        let started = Instant::now();
        let service = program.serve();
        service.stranger().get("/readyz").await.assert_status(200);
        times.push(started.elapsed());
        service.terminate();
        assert_eq!(exit_code(&service), 0);
    }
    // A busy machine slows down any single start, but not all of them.
    let best = times.iter().min().expect("three starts");
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    let figure = format!("{:?}: ready after {best:?} ({build} build)\n", database.engine());
    // Past the capture of test output.
    std::io::stderr().write_all(figure.as_bytes()).unwrap();
    if !cfg!(debug_assertions) {
        assert!(*best < READY_WITHIN, "ready after {times:?}");
    }
}
