//! The `device-management` executable: reads its arguments and runs the command.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use device_management::cli::{Cli, run};
use tikv_jemallocator::Jemalloc;
use tokio::runtime::Builder;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    let runtime = match Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = writeln!(io::stderr(), "device-management: the runtime cannot be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(run(Cli::parse()));
    // A drop would wait for blocking calls without a timeout, such as a DNS lookup.
    runtime.shutdown_background();
    code
}
