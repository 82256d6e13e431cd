//! The pure parts, one after the other, for `benches/instructions` to count their instructions. Log, metrics and
//! allocator are those of production.
//!
//! It prints each case as it comes to it: how often it is repeated, and its name. callgrind counts within `counted` only,
//! and writes down what it has each time that one ends.

#![expect(clippy::print_stdout, reason = "what the counting script reads")]

mod cases;

use cases::Case;
use device_management::config::LogFormat;
use device_management::telemetry;
use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Enough that a rare reallocation is no more than noise, and few enough for a processor that is emulated.
const TIMES: u64 = 20;

fn main() {
    let _log = telemetry::install_log(LogFormat::Json, "info").expect("there is a thread for the log");
    let _metrics = telemetry::install_metrics().expect("no other code installs metrics");
    for case in cases::all() {
        // The first runs fill what is made once and kept.
        assert!(case.comes_out_right(), "{} comes out wrong", case.name);
        case.repeat(TIMES);
        println!("{TIMES} {}", case.name);
        counted(&case);
    }
}

/// callgrind knows it by its name.
#[inline(never)]
fn counted(case: &Case) {
    case.repeat(TIMES);
}
