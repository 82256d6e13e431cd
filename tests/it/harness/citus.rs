//! A Citus cluster: a coordinator and two workers, for tests that run where the installed Postgres has the extension.
//!
//! Citus is in no package registry, so a machine without it is no failure, also with `CI=true`: one line on stderr says
//! that the tests were left out.

use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use device_management::store::{DatabaseSettings, DatabaseUrl, migrate};
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

use super::{PostgresServer, postgres, sql};

/// The statements that distribute the tables.
pub(crate) const DISTRIBUTION: &str = include_str!("../../../deploy/citus.sql");

/// Two-phase commits need prepared transactions, each database a maintenance process, and a move of a shard logical
/// replication.
const SETTINGS: [(&str, &str); 7] = [
    ("shared_preload_libraries", "citus"),
    ("max_prepared_transactions", "300"),
    ("max_worker_processes", "200"),
    ("wal_level", "logical"),
    ("citus.node_conninfo", "sslmode=disable"),
    ("citus.shard_count", "8"),
    ("log_line_prefix", "%d|"),
];

/// The database that others are copied from.
const TEMPLATE: &str = "distributed";

/// A coordinator, two workers, and the template of their databases.
pub(crate) struct CitusCluster {
    pub(crate) coordinator: PostgresServer,
    pub(crate) workers: [PostgresServer; 2],
    created: AtomicU32,
}

impl CitusCluster {
    /// The cluster that tests share, if Citus is installed.
    pub(crate) async fn shared() -> Option<&'static Self> {
        static SHARED: OnceCell<Option<CitusCluster>> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await.as_ref()
    }

    /// A new cluster, for a test that harms it. `None` if Citus is not installed.
    pub(crate) async fn start() -> Option<Self> {
        if !postgres::installed().is_some_and(|bin| has_citus(&bin)) {
            report_left_out();
            return None;
        }
        let servers = spawn_blocking(|| {
            let coordinator = PostgresServer::start(&SETTINGS)?;
            let workers = [coordinator.beside(&SETTINGS)?, coordinator.beside(&SETTINGS)?];
            Ok::<_, String>((coordinator, workers))
        });
        let (coordinator, workers) = servers.await.expect("starting does not panic").unwrap();
        let cluster = Self { coordinator, workers, created: AtomicU32::new(0) };
        cluster.create_template().await;
        Some(cluster)
    }

    /// The servers, the coordinator first.
    fn nodes(&self) -> [&PostgresServer; 3] {
        [&self.coordinator, &self.workers[0], &self.workers[1]]
    }

    /// The connection URL of a database on the coordinator.
    pub(crate) fn url(&self, database: &str) -> String {
        self.coordinator.url(database)
    }

    /// Runs statements in one database of every node.
    pub(crate) async fn on_each_node(&self, database: &str, statements: &str) {
        for node in self.nodes() {
            sql::execute(&node.url(database), statements).await;
        }
    }

    /// Creates a database with the extension on every node, and makes it one cluster.
    pub(crate) async fn create(&self, database: &str) {
        let login = format!("password={}", self.coordinator.password());
        self.on_each_node("postgres", &format!("create database {database}")).await;
        self.on_each_node(
            database,
            &format!("create extension citus; insert into pg_dist_authinfo values (0, 'postgres', '{login}')"),
        )
        .await;
        let [coordinator, one, other] = self.nodes().map(PostgresServer::port);
        let registration = format!(
            "select citus_set_coordinator_host('127.0.0.1', {coordinator});
             select citus_add_node('127.0.0.1', {one}), citus_add_node('127.0.0.1', {other})"
        );
        sql::execute(&self.url(database), &registration).await;
    }

    async fn create_template(&self) {
        self.create(TEMPLATE).await;
        let url = DatabaseUrl::parse(&self.url(TEMPLATE)).expect("the harness makes valid URLs");
        migrate(&DatabaseSettings::new(url)).await.expect("the migrations fit an empty database");
        sql::execute(&self.url(TEMPLATE), DISTRIBUTION).await;
        // A database can be copied while it has no session, and Citus keeps some. It may reconnect until every node has
        // committed the first statement.
        self.on_each_node("postgres", &format!("alter database {TEMPLATE} allow_connections false")).await;
        let close =
            format!("select pg_terminate_backend(pid, 10000) from pg_stat_activity where datname = '{TEMPLATE}'");
        self.on_each_node("postgres", &close).await;
    }

    /// A fresh database with distributed tables, by its name.
    pub(crate) async fn database(&self) -> String {
        let name = format!("copy_{}", self.created.fetch_add(1, Ordering::Relaxed));
        self.on_each_node("postgres", &format!("create database {name} template {TEMPLATE} strategy file_copy")).await;
        name
    }

    /// Drops a database in the background. What is not dropped in time is removed with its server.
    pub(super) fn drop(&self, name: &str) {
        let urls = self.nodes().map(|node| node.url("postgres"));
        let statement = format!("drop database if exists {name} with (force)");
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
            for url in urls {
                runtime.block_on(sql::execute(&url, &statement));
            }
        });
    }
}

/// Whether the Postgres of these programs has the extension's control file, in the layout of Postgres
/// (`share/extension`), of a package (`share/postgresql/extension`) or of Debian (`lib/postgresql/15/bin` and
/// `share/postgresql/15/extension`).
fn has_citus(bin: &Path) -> bool {
    let root = |levels: usize| bin.ancestors().nth(levels).map(|root| root.join("share"));
    let version = bin.parent().and_then(Path::file_name).unwrap_or_default();
    let plain = root(1).map(|share| [share.join("extension"), share.join("postgresql/extension")]);
    let debian = root(4).map(|share| share.join("postgresql").join(version).join("extension"));
    plain.into_iter().flatten().chain(debian).any(|folder| folder.join("citus.control").is_file())
}

/// Says once on the real stderr, past the capture of test output, that the tests were left out.
fn report_left_out() {
    static REPORTED: AtomicBool = AtomicBool::new(false);
    if REPORTED.swap(true, Ordering::Relaxed) {
        return;
    }
    let line = "LEFT OUT: the tests on Citus. To run them, build Citus for the Postgres that comes first in PATH \
                (docs/scaling.md).\n";
    io::stderr().write_all(line.as_bytes()).expect("stderr takes a line");
}
