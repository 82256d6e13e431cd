//! The load generator of `benches/run`: clients with one connection each, phones that sign, and the SMS gateway that
//! receives their codes. One process, so that an order can use the results of the order before it.
//!
//! It prints the gateway's URL as a line of JSON, then reads one order per line and prints its report, until the input
//! ends. Keys and signatures are made before the clock starts. All requests differ, and every answer is checked: a
//! wrong one ends the order with an error.

#![expect(clippy::print_stdout, reason = "benches/run reads the reports")]

mod callers;
#[allow(dead_code, reason = "only the signature checks are used")]
#[path = "../cases/mod.rs"]
mod cases;
mod gateway;
mod log_ins;
mod orders;
mod people;
mod phones;

use std::io::{BufRead as _, Write as _};

use anyhow::Context as _;
use serde_json::json;

use gateway::Gateway;
use orders::Office;

/// One thread, because the service and its database share the cores.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let gateway = Gateway::open().await.context("the gateway cannot listen")?;
    say(&json!({ "gateway": gateway.url() }))?;
    let mut office = Office::new(gateway);
    for line in std::io::stdin().lock().lines() {
        let order = serde_json::from_str(&line?).context("unknown order")?;
        match office.carry_out(order).await {
            Ok(report) => say(&report)?,
            Err(error) => say(&json!({ "error": format!("{error:#}") }))?,
        }
    }
    Ok(())
}

fn say(report: &serde_json::Value) -> anyhow::Result<()> {
    println!("{report}");
    Ok(std::io::stdout().flush()?)
}
