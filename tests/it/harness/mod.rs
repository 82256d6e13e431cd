//! What the tests stand on: databases that vanish with the test, on both engines, and the real executable.
//!
//! `cargo test` needs no preparation. The Postgres half starts its own server when Postgres is installed, or uses the
//! server that `TEST_DATABASE_URL` names. Where neither is there, that half says so test by test and does not run;
//! with `CI=true` this is a failure instead.

mod administrator;
mod app;
mod binary;
pub(crate) mod books;
mod broken;
mod broken_store;
pub(crate) mod broken_wire;
mod client;
pub(crate) mod contract;
mod database;
pub(crate) mod fault;
mod folder;
pub(crate) mod full_disk;
pub(crate) mod identity_provider;
mod lines;
pub(crate) mod log;
mod outbox;
pub(crate) mod pgbouncer;
mod phone;
mod postgres;
mod processes;
pub(crate) mod provider;
mod remote;
pub(crate) mod sql;
mod surroundings;
pub(crate) mod virtual_address;
pub(crate) mod wire;

use std::env;
use std::io::{self, Write};
use std::net::TcpListener;
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};

pub(crate) use app::TestApp;
pub(crate) use binary::{Process, Program, Service};
pub(crate) use broken::Broken;
pub(crate) use client::{Answer, Bound, NUMBER, TestClient};
pub(crate) use database::{Engine, Schema, TestDatabase};
pub(crate) use outbox::{Hold, Message, Network, Outbox};
pub(crate) use phone::Phone;
pub(crate) use postgres::{PostgresServer, installed as postgres_programs, unprivileged_user};

/// What a test on both databases asks for: a database, or the whole service on top of one.
pub(crate) trait Start: Sized {
    /// Makes a fresh one that shares nothing with those of other tests.
    async fn start(engine: Engine) -> Self;
}

/// Runs a test on what it asks for, made for `engine`.
pub(crate) async fn run_on<T: Start, F: Future<Output = ()>>(engine: Engine, test: fn(T) -> F) {
    test(T::start(engine).await).await;
}

/// Makes two tests, `sqlite::name` and `postgres::name`, out of each `async fn name(it: impl Start)` in this module.
macro_rules! on_both_databases {
    [$($name:ident),+ $(,)?] => {
        $crate::harness::on_engine!(sqlite, Sqlite, $($name),+);
        $crate::harness::on_engine!(postgres, Postgres, $($name),+);
    };
}
pub(crate) use on_both_databases;

/// Makes a third test of each, `distributed::name`: for what writes bindings, which Postgres has two forms of.
macro_rules! in_every_form {
    [$($name:ident),+ $(,)?] => {
        $crate::harness::on_both_databases![$($name),+];
        $crate::harness::on_engine!(distributed, Distributed, $($name),+);
    };
}
pub(crate) use in_every_form;

macro_rules! on_engine {
    ($module:ident, $engine:ident, $($name:ident),+) => {
        mod $module {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    let test = concat!(module_path!(), "::", stringify!($name));
                    if $crate::harness::Engine::$engine.is_there_for(test).await {
                        $crate::harness::run_on($crate::harness::Engine::$engine, super::$name).await;
                    }
                }
            )+
        }
    };
}
pub(crate) use on_engine;

/// A port of loopback that nobody listened on a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
    listener.local_addr().expect("a bound listener has an address").port()
}

/// Whether Postgres servers can be started here, for tests that need one of their own. Reports `test` if not.
pub(crate) fn can_start_servers_for(test: &str) -> bool {
    let can = postgres::installed().is_some();
    if !can {
        report_not_run(test, "install Postgres (apt-get install postgresql)");
    }
    can
}

/// A number that whoever runs the tests may choose.
pub(crate) fn number_from_environment<T: FromStr>(name: &str, usual: T) -> T {
    let chosen = env::var(name).ok();
    chosen.map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// Says on the real stderr, past the capture of test output, that `test` did not run for want of a program.
fn report_not_run(test: &str, remedy: &str) {
    static NOT_RUN: AtomicUsize = AtomicUsize::new(0);
    let test = test.trim_start_matches("it::");
    assert!(env::var_os("CI").is_none_or(|ci| ci != "true"), "{test} cannot run, and CI=true: {remedy}");
    let so_far = NOT_RUN.fetch_add(1, Ordering::Relaxed) + 1;
    let line = format!("NOT RUN ({so_far} so far): {test}. To run it, {remedy}.\n");
    io::stderr().write_all(line.as_bytes()).expect("stderr takes a line");
}

/// Sixteen unpredictable bytes in hex.
fn random_word() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}
