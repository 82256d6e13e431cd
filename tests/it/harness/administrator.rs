//! Creates and drops the databases of this run on one Postgres server.
//!
//! One thread with its own runtime and one connection serves all tests: each test has its own runtime, and a connection
//! cannot outlive its runtime. Dropping a database only sends a message, which is possible in `Drop`.
//!
//! A run must leave nothing on a server that outlives it. Database names contain the number of their run, and each run
//! holds an advisory lock with that number while it lives. Every run drops, at its start, the databases of runs whose
//! lock is free: those of killed runs, and the templates, which a run needs until its end.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc as blocking;
use std::thread;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection, Executor};
use tokio::sync::{mpsc, oneshot};

use super::random_word;

const PREFIX: &str = "device_management_test_";
/// First half of the advisory locks' keys, distinct from those of other applications; "test" in ASCII.
const LOCK_SPACE: i32 = 0x7465_7374;

enum Order {
    Create { name: String, template: Option<String>, done: oneshot::Sender<sqlx::Result<()>> },
    Drop { name: String, done: blocking::Sender<()> },
}

/// A handle to the thread. Any test may use it.
pub(super) struct Administrator {
    orders: mpsc::UnboundedSender<Order>,
    run: i32,
    created: AtomicU32,
}

impl Administrator {
    /// Connects, and drops the databases of ended runs. On a server that is `ours`, databases are copied with the
    /// strategy
    /// `file_copy`: it is twice as fast there, but its checkpoints would slow down other users of a shared server.
    pub(super) async fn start(server: PgConnectOptions, ours: bool) -> Result<Self, String> {
        let run = i32::from_str_radix(&random_word()[..7], 16).expect("seven hex digits fit");
        let (orders, inbox) = mpsc::unbounded_channel();
        let (ready, is_ready) = oneshot::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
            runtime.block_on(async {
                match connect(&server, run).await {
                    Ok((connection, has_strategies)) => {
                        if ready.send(Ok(())).is_ok() {
                            let strategy = if ours && has_strategies { " strategy file_copy" } else { "" };
                            serve(connection, strategy, inbox).await;
                        }
                    }
                    // A caller that no longer waits does not need the error.
                    Err(error) => drop(ready.send(Err(format!("cannot use the Postgres server for tests: {error}")))),
                }
            });
        });
        is_ready.await.expect("the administrator answers")?;
        Ok(Self { orders, run, created: AtomicU32::new(0) })
    }

    /// Creates a database, empty or as a copy of `template`, and returns its name.
    pub(super) async fn create(&self, template: Option<&str>) -> String {
        let name = format!("{PREFIX}{:07x}_{}", self.run, self.created.fetch_add(1, Ordering::Relaxed));
        let (done, is_done) = oneshot::channel();
        let order = Order::Create { name: name.clone(), template: template.map(str::to_owned), done };
        self.orders.send(order).expect("the administrator lives as long as the tests");
        is_done
            .await
            .expect("the administrator answers")
            .unwrap_or_else(|error| panic!("cannot create {name}: {error}"));
        name
    }

    /// Drops a database in the background. The returned channel signals the end.
    pub(super) fn drop(&self, name: &str) -> blocking::Receiver<()> {
        let (done, is_done) = blocking::channel();
        // If the thread has ended, the next run drops the database.
        let _ = self.orders.send(Order::Drop { name: name.to_owned(), done });
        is_done
    }
}

/// Connects and cleans up. Returns the connection, and whether `create database` has strategies (Postgres 15).
async fn connect(server: &PgConnectOptions, run: i32) -> sqlx::Result<(PgConnection, bool)> {
    let mut connection = PgConnection::connect_with(server).await?;
    lock(&mut connection, run).await?;
    let names: Vec<String> =
        sqlx::query_scalar("select datname from pg_database where starts_with(datname, $1) order by datname")
            .bind(PREFIX)
            .fetch_all(&mut connection)
            .await?;
    for name in names {
        let owner = name[PREFIX.len()..].split('_').next().and_then(|run| i32::from_str_radix(run, 16).ok());
        if let Some(owner) = owner.filter(|owner| *owner != run)
            && lock(&mut connection, owner).await?
        {
            drop_database(&mut connection, &name).await?;
        }
    }
    let version = "select current_setting('server_version_num')::int";
    let version: i32 = sqlx::query_scalar(version).fetch_one(&mut connection).await?;
    Ok((connection, version >= 150_000))
}

/// Takes the lock of a run until this connection ends; false when that run still holds it.
async fn lock(connection: &mut PgConnection, run: i32) -> sqlx::Result<bool> {
    sqlx::query_scalar("select pg_try_advisory_lock($1, $2)").bind(LOCK_SPACE).bind(run).fetch_one(connection).await
}

async fn serve(mut connection: PgConnection, strategy: &str, mut inbox: mpsc::UnboundedReceiver<Order>) {
    while let Some(order) = inbox.recv().await {
        match order {
            Order::Create { name, template, done } => {
                let template = template.map(|template| format!(" template {template}{strategy}")).unwrap_or_default();
                let outcome = run(&mut connection, format!("create database {name}{template}")).await;
                // A test that no longer waits does not need the outcome.
                let _ = done.send(outcome);
            }
            Order::Drop { name, done } => {
                // If this fails, the next run drops the database.
                let _ = drop_database(&mut connection, &name).await;
                let _ = done.send(());
            }
        }
    }
}

async fn drop_database(connection: &mut PgConnection, name: &str) -> sqlx::Result<()> {
    run(connection, format!("drop database if exists {name} with (force)")).await
}

/// Runs a statement whose names were all generated here: a database name cannot be a bind parameter.
async fn run(connection: &mut PgConnection, statement: String) -> sqlx::Result<()> {
    connection.execute(AssertSqlSafe(statement)).await.map(drop)
}
