//! The `device-management` executable: reads its arguments and runs the command.

use std::process::ExitCode;

use clap::Parser;
use device_management::cli::{Cli, run};
use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    run(Cli::parse()).await
}
