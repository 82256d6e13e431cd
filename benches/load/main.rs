//! The callers of `benches/run`: partners' back ends with one connection each, the phones behind them, and the gateway
//! that brings them their codes. In one process, so that one order can rely on what came of the order before.
//!
//! It prints a line of JSON about itself, then reads an order per line and prints what came of it, until its input ends.
//! Keys and signatures are made before the clock starts, requests that are sent are all different, and every answer is
//! looked at: the first that is not right ends the order with an error.

#![expect(clippy::print_stdout, reason = "what benches/run reads")]

mod callers;
#[allow(dead_code, reason = "of the cases, signature checks are the ones wanted")]
#[path = "../cases/mod.rs"]
mod cases;
mod gateway;
mod orders;
mod people;
mod phones;

use std::io::{BufRead as _, Write as _};

use anyhow::Context as _;
use serde_json::json;

use gateway::Gateway;
use orders::Office;

/// One thread: there are two cores, and the service and its database want some of them.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let gateway = Gateway::open().await.context("the gateway cannot listen")?;
    say(&json!({ "gateway": gateway.url() }))?;
    let mut office = Office::new(gateway);
    for line in std::io::stdin().lock().lines() {
        let order = serde_json::from_str(&line?).context("no such order")?;
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
