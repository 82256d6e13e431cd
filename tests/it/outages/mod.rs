//! Outages of the database, under load and at every step of every use case: each answer is right or a 503 within the
//! deadline, no acknowledged write is lost, and the service recovers without a restart.

mod crash;
mod failover;
mod faults;
pub(crate) mod load;
mod locked_file;
mod partition;
mod postgres_unreachable;
mod repetitions;
mod results;
mod run;
pub(crate) mod trail;
mod use_cases;

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use device_management::store::{DatabaseSettings, DatabaseUrl, migrate};

use crate::harness::{PostgresServer, TestApp};
use load::Load;

/// The shortest timeouts that the settings allow, to keep the tests short.
pub(crate) const SETTINGS: [(&str, &str); 4] = [
    ("DATABASE_ACQUIRE_TIMEOUT_SECONDS", "1"),
    ("DATABASE_STATEMENT_TIMEOUT_SECONDS", "1"),
    ("DATABASE_MAX_CONNECTIONS", "4"),
    ("SANDBOX_OTP", "212212"),
];

/// The longest that a call of the store may take under these settings: a second to acquire a connection, one for the
/// statement timeout of the server, and one until the client's own timeout.
const STORE_DEADLINE: Duration = Duration::from_secs(3);

/// Allowance for a loaded machine.
const SLACK: Duration = Duration::from_secs(2);

/// The longest that a test waits for an expected event.
const PATIENCE: Duration = Duration::from_mins(1);

/// The lease of a claim: how long a lost request blocks others with the same idempotency key.
const LEASE: TimeDelta = TimeDelta::minutes(1);

/// A Postgres server with the migrated schema.
async fn server() -> PostgresServer {
    let server = PostgresServer::start(&[]).unwrap();
    migrate(&DatabaseSettings::new(DatabaseUrl::parse(&server.url("postgres")).unwrap())).await.unwrap();
    server
}

/// The service on the server at this URL, under load.
async fn load_on(url: &str) -> Load {
    let load = Load::of(Arc::new(TestApp::at(url, &SETTINGS).await), "acme");
    load.rounds(10).await;
    load
}
