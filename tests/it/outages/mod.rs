//! The database goes away, in every way that it can, under load and at every step of every use case: each answer is right
//! or a 503 in time, nothing that was acknowledged is lost, and the service needs no help to recover.

mod failover;
mod faults;
mod ledger;
mod load;
mod locked_file;
mod partition;
mod postgres_away;
mod repetitions;
mod run;
pub(crate) mod trail;
mod use_cases;

use std::time::Duration;

use chrono::TimeDelta;
use device_management::store::{DatabaseSettings, DatabaseUrl, migrate};

use crate::harness::{PostgresServer, TestApp};
use load::Load;

/// The shortest that can be set, so that the tests do not take longer than they must.
const SETTINGS: [(&str, &str); 4] = [
    ("DATABASE_ACQUIRE_TIMEOUT_SECONDS", "1"),
    ("DATABASE_STATEMENT_TIMEOUT_SECONDS", "1"),
    ("DATABASE_MAX_CONNECTIONS", "4"),
    ("SANDBOX_OTP", "212212"),
];

/// How long a call of the store may take under these settings: a second for a connection, one for the statement, and one
/// until we no longer wait for the server to say that it took too long.
const STORE_DEADLINE: Duration = Duration::from_secs(3);

/// What a machine that does something else at the same time may add.
const SLACK: Duration = Duration::from_secs(2);

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_mins(1);

/// How long a request with a key that does not come back keeps others with that key waiting.
const LEASE: TimeDelta = TimeDelta::minutes(1);

/// A server with the tables.
async fn server() -> PostgresServer {
    let server = PostgresServer::start(&[]).unwrap();
    migrate(&DatabaseSettings::new(DatabaseUrl::parse(&server.url("postgres")).unwrap())).await.unwrap();
    server
}

/// The service on the server of this URL, at work.
async fn load_on(url: &str) -> Load {
    let load = Load::start(TestApp::at(url, &SETTINGS).await);
    load.rounds(10).await;
    load
}
