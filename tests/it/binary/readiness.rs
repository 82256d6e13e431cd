//! The time from the start until the service is ready.

use std::io::Write;
use std::time::{Duration, Instant};

use super::{exit_code, sandbox_on};
use crate::harness::{TestDatabase, on_both_databases};

on_both_databases![the_service_is_ready_shortly_after_its_start];

/// The limit for the release build, for platforms that scale on demand.
const READY_WITHIN: Duration = Duration::from_millis(200);

async fn the_service_is_ready_shortly_after_its_start(database: TestDatabase) {
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
    // The best of three, because a loaded machine slows down single starts.
    let best = times.iter().min().expect("three starts");
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    let figure = format!("{:?}: ready after {best:?} ({build} build)\n", database.engine());
    // Written past the capture of test output.
    std::io::stderr().write_all(figure.as_bytes()).unwrap();
    if !cfg!(debug_assertions) {
        assert!(*best < READY_WITHIN, "ready after {times:?}");
    }
}
