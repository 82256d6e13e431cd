//! How soon after its start the service serves.

use std::io::Write;
use std::time::{Duration, Instant};

use super::{PATIENCE, exit_code, sandbox_on};
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
    let best = times.iter().min().expect("three starts");
    // A busy machine slows down any single start, but not all of them.
    if cfg!(debug_assertions) {
        tell(&format!("{:?}: ready after {best:?} (debug build)", database.engine()));
    } else {
        tell(&format!("{:?}: ready after {best:?}", database.engine()));
        assert!(*best < READY_WITHIN, "ready after {times:?}");
    }
    let _ = PATIENCE;
}

/// Past the capture of test output.
fn tell(figure: &str) {
    std::io::stderr().write_all(format!("{figure}\n").as_bytes()).unwrap();
}
