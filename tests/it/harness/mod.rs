//! Fixtures of the integration tests: throw-away databases on both engines, the real executable, and test doubles.
//!
//! `cargo test` needs no preparation. The Postgres tests start their own server when Postgres is installed, or use the
//! server that `TEST_DATABASE_URL` names. With neither, each Postgres test reports on stderr that it did not run; with
//! `CI=true` it fails instead.

mod administrator;
mod app;
mod axe;
mod binary;
pub(crate) mod books;
mod broken;
mod broken_store;
pub(crate) mod broken_wire;
mod browser;
pub(crate) mod certificates;
pub(crate) mod citus;
mod client;
pub(crate) mod collector;
pub(crate) mod contract;
mod counted_store;
mod database;
pub(crate) mod fault;
pub(crate) mod faulty_server;
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
mod remote;
pub(crate) mod sql;
mod surroundings;
pub(crate) mod virtual_address;
pub(crate) mod wire;

use std::io::{self, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs};

pub(crate) use app::TestApp;
pub(crate) use binary::{Process, Program, Service};
pub(crate) use broken::Broken;
pub(crate) use browser::Browser;
pub(crate) use client::{
    ACTIVATION_CODES, Answer, Bound, DEVICE_CHALLENGES, NUMBER, OpenChallenge, SMS_CHALLENGES, SmsChallenge, TestClient,
};
pub(crate) use collector::Collector;
pub(crate) use database::{Engine, Schema, TestDatabase};
pub(crate) use outbox::{Hold, Message, Network, Outbox};
pub(crate) use phone::Phone;
pub(crate) use postgres::{PostgresServer, installed as postgres_programs, unprivileged_user};

/// The fixture of a test on both databases: a database, or the whole service on top of one.
pub(crate) trait Start: Sized {
    /// Makes a fresh fixture that shares nothing with those of other tests.
    async fn start(engine: Engine) -> Self;
}

/// Runs a test on a fresh fixture for `engine`.
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

/// Adds a third test, `distributed::name`, to each pair: for writes that have two forms of SQL on Postgres. A fourth,
/// `citus::name`, runs where Citus is installed.
macro_rules! in_every_form {
    [$($name:ident),+ $(,)?] => {
        $crate::harness::on_both_databases![$($name),+];
        $crate::harness::on_engine!(distributed, Distributed, $($name),+);
        $crate::harness::on_citus![$($name),+];
    };
}
pub(crate) use in_every_form;

/// `on_both_databases!` and `on_citus!` together.
macro_rules! on_both_databases_and_citus {
    [$($name:ident),+ $(,)?] => {
        $crate::harness::on_both_databases![$($name),+];
        $crate::harness::on_citus![$($name),+];
    };
}
pub(crate) use on_both_databases_and_citus;

/// Makes a test `citus::name` out of each `async fn name(it: impl Start)` in this module; it runs where Citus is installed.
macro_rules! on_citus {
    [$($name:ident),+ $(,)?] => {
        $crate::harness::on_engine!(citus, Citus, $($name),+);
    };
}
pub(crate) use on_citus;

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

/// Makes a test `chromium::name` out of each `async fn name()` in this module; it runs where Chromium is installed.
macro_rules! in_chromium {
    [$($name:ident),+ $(,)?] => {
        mod chromium {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    if $crate::harness::Browser::is_there_for(concat!(module_path!(), "::", stringify!($name))) {
                        super::$name().await;
                    }
                }
            )+
        }
    };
}
pub(crate) use in_chromium;

/// A port of loopback that was free a moment ago. Another process may take it before the caller listens on it.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
    listener.local_addr().expect("a bound listener has an address").port()
}

/// Whether Postgres servers can be started here, for tests that need their own server. If not, reports `test` as not
/// run.
pub(crate) fn can_start_servers_for(test: &str) -> bool {
    let can = postgres::installed().is_some();
    if !can {
        report_not_run(test, "install Postgres (apt-get install postgresql)");
    }
    can
}

/// The checkout of the last release, with its built executable. CI runs the tests that need it in a step that follows the
/// others, so its absence is no failure. If it is absent, reports `test` as not run.
pub(crate) fn released_build_for(test: &str) -> Option<ReleasedBuild> {
    let Some(folder) = env::var_os("RELEASED_BUILD") else {
        report_left_out(test, "run `bash .ci/run upgrade`, which builds the released version");
        return None;
    };
    let folder = fs::canonicalize(folder).expect("RELEASED_BUILD is a folder");
    let build =
        ReleasedBuild { executable: folder.join("device-management"), grants: folder.join("docker/grants.sql") };
    assert!(build.executable.is_file(), "RELEASED_BUILD={} has no device-management", folder.display());
    Some(build)
}

/// Files of the last release.
pub(crate) struct ReleasedBuild {
    pub(crate) executable: PathBuf,
    pub(crate) grants: PathBuf,
}

/// A number from an environment variable, or `usual` if the variable is not set.
pub(crate) fn number_from_environment<T: FromStr>(name: &str, usual: T) -> T {
    let chosen = env::var(name).ok();
    chosen.map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

/// Reports on the real stderr, past the capture of test output, that `test` did not run because a program is missing.
pub(crate) fn report_not_run(test: &str, remedy: &str) {
    let test = test.trim_start_matches("it::");
    assert!(env::var_os("CI").is_none_or(|ci| ci != "true"), "{test} cannot run, and CI=true: {remedy}");
    report_left_out(test, remedy);
}

/// Reports on the real stderr that `test` did not run.
fn report_left_out(test: &str, remedy: &str) {
    static NOT_RUN: AtomicUsize = AtomicUsize::new(0);
    let so_far = NOT_RUN.fetch_add(1, Ordering::Relaxed) + 1;
    let line = format!("NOT RUN ({so_far} so far): {test}. To run it, {remedy}.\n");
    io::stderr().write_all(line.as_bytes()).expect("stderr takes a line");
}

/// Sixteen random bytes in hex.
fn random_word() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}
