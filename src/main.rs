//! The `device-management` executable: reads its arguments and runs the command.

use std::process::ExitCode;

use clap::Parser;
use device_management::cli::{Cli, run};
use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

#[tokio::main]
async fn main() -> ExitCode {
    run(Cli::parse()).await
}
