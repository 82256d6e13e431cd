//! Connections lent with a deadline that is ours: a server that is frozen, or behind a network that drops everything, keeps
//! neither requests nor connections.
//!
//! `statement_timeout` is the server's, and so is no help when the server itself stands still. Whoever borrows a connection
//! has a little longer than that, for all its statements together. A connection whose last statement did not come to its
//! end (too late, broken, or its request was given up) is closed, never lent again: nobody knows what it will answer next.
//! What it was asked may still take effect.
//!
//! All others are lent again at once, without a word to the server: `docs/decisions/0022-a-pool-that-does-not-ask.md`.

use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use std::{fmt, io};

use deadpool::managed::{self, Object, PoolError, QueueMode};
use futures_core::Stream;
use futures_core::future::BoxFuture;
use futures_core::stream::BoxStream;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgDatabaseError, PgSeverity};
use sqlx::query::Query;
use sqlx::{Connection, Database, Describe, Either, Execute, Executor, SqlStr};
use tokio::time::{Instant, Sleep, sleep_until, timeout, timeout_at};

use super::connect::Pooler;
use super::connector::Connector;
use super::engine::Engine;
use super::error::is_unavailable;
use super::{DatabaseSettings, PoolUse};

/// The server's own limit comes first when it can: it says for certain that nothing happened.
const MARGIN: Duration = Duration::from_secs(1);

/// How long a connection is lent, when the server gives up a statement after `statement_timeout`.
pub(super) fn patience(statement_timeout: Duration) -> Duration {
    statement_timeout + MARGIN
}

/// What one row, or the end of one statement, is to sqlx.
type Step<DB> = sqlx::Result<Either<<DB as Database>::QueryResult, <DB as Database>::Row>>;

/// A pool whose connections are lent for a limited time.
pub(super) struct Pool<DB: Engine> {
    connections: managed::Pool<Connector<DB>>,
    pooler: Pooler,
    acquire_timeout: Duration,
    patience: Duration,
}

impl<DB: Engine> Pool<DB> {
    /// Lends as many connections at a time as the settings allow, or fewer.
    pub(super) fn new(connector: Connector<DB>, max: u32, pooler: Pooler, settings: &DatabaseSettings) -> Self {
        let connections = managed::Pool::builder(connector)
            .max_size(max as usize)
            // The one that came back last is the least likely to have been forgotten by the network.
            .queue_mode(QueueMode::Lifo)
            .build()
            .expect("only time limits need a runtime, and the pool has none");
        let patience = patience(settings.statement_timeout);
        Self { connections, pooler, acquire_timeout: settings.acquire_timeout, patience }
    }

    /// Runs one statement in its own commit, and gives the first row that it returned.
    pub(super) async fn one(&self, query: Query<'_, DB, DB::Arguments>) -> sqlx::Result<Option<DB::Row>> {
        match self.pooler {
            Pooler::None => query.fetch_optional(&mut self.acquire().await?).await,
            Pooler::Transaction => Ok(self.in_transaction(query).await?.into_iter().next()),
        }
    }

    /// Runs one statement in its own commit, and gives all rows that it returned.
    pub(super) async fn all(&self, query: Query<'_, DB, DB::Arguments>) -> sqlx::Result<Vec<DB::Row>> {
        match self.pooler {
            Pooler::None => query.fetch_all(&mut self.acquire().await?).await,
            Pooler::Transaction => self.in_transaction(query).await,
        }
    }

    /// Between two transactions the server may change, and what was prepared on one is not there on the other.
    async fn in_transaction(&self, query: Query<'_, DB, DB::Arguments>) -> sqlx::Result<Vec<DB::Row>> {
        let mut transaction = self.begin_with("begin").await?;
        match query.fetch_all(&mut *transaction).await {
            Ok(rows) => transaction.commit().await.map(|()| rows),
            Err(error) => {
                if leaves_connection(Some(&error)) {
                    transaction.rollback().await?;
                }
                Err(error)
            }
        }
    }

    /// Lends a connection.
    async fn acquire(&self) -> sqlx::Result<Lent<DB>> {
        let connection = timeout(self.acquire_timeout, self.connections.get()).await;
        let connection = connection.map_err(|_| sqlx::Error::PoolTimedOut)?.map_err(|error| match error {
            PoolError::Backend(error) => error,
            _ => sqlx::Error::PoolClosed,
        })?;
        let deadline = Instant::now() + self.patience;
        Ok(Lent { connection: Some(connection), pooler: self.pooler, deadline, is_clear: true })
    }

    /// Makes sure that there is a database.
    pub(super) async fn reach(&self) -> sqlx::Result<()> {
        self.acquire().await.map(drop)
    }

    /// Lends a connection on which a transaction has begun with this statement.
    pub(super) async fn begin_with(&self, begin: &'static str) -> sqlx::Result<Transaction<DB>> {
        let mut transaction = Transaction { lent: self.acquire().await?, ended: false };
        transaction.lent.execute(begin).await?;
        Ok(transaction)
    }

    /// Runs a statement that begins and commits a transaction by itself. If it fails half way, the connection is closed, and
    /// what it had begun is undone.
    pub(super) async fn transact(&self, statement: Query<'_, DB, DB::Arguments>) -> sqlx::Result<Vec<DB::Row>> {
        let mut transaction = Transaction { lent: self.acquire().await?, ended: false };
        let rows = statement.fetch_all(&mut *transaction).await?;
        transaction.ended = true;
        Ok(rows)
    }

    pub(super) fn usage(&self) -> PoolUse {
        let status = self.connections.status();
        let count = |connections| u32::try_from(connections).unwrap_or(u32::MAX);
        PoolUse { used: count(status.size - status.available), idle: count(status.available) }
    }

    /// Says farewell on every connection that nobody uses, and lends none any more.
    pub(super) async fn close(&self) {
        let idle = self.connections.retain(|_, _| false).removed;
        self.connections.close();
        for connection in idle {
            // A server that does not answer any more has no need of a farewell.
            let _ = timeout(self.patience, connection.close()).await;
        }
    }
}

/// A connection for one statement, or for one transaction.
pub(super) struct Lent<DB: Engine> {
    /// Always there until it is dropped.
    connection: Option<Object<Connector<DB>>>,
    pooler: Pooler,
    deadline: Instant,
    /// Whether every statement that has begun came to an end that leaves the connection as it was.
    is_clear: bool,
}

impl<DB: Engine> Lent<DB> {
    /// The parts that a statement works with, from its beginning on.
    fn begin(&mut self) -> (&mut DB::Connection, Instant, &mut bool) {
        self.is_clear = false;
        let connection = self.connection.as_mut().expect("it is taken out by drop alone");
        (&mut **connection, self.deadline, &mut self.is_clear)
    }
}

/// sqlx wants one of every `Executor`. There is nothing to say: a connection knows secrets.
impl<DB: Engine> fmt::Debug for Lent<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lent").finish_non_exhaustive()
    }
}

impl<DB: Engine> Drop for Lent<DB> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take().filter(|_| !self.is_clear) {
            drop(Object::take(connection));
        }
    }
}

impl<'c, DB: Engine> Executor<'c> for &'c mut Lent<DB> {
    type Database = DB;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Step<DB>>
    where
        'c: 'e,
        E: 'q + Execute<'q, DB>,
    {
        let pooler = self.pooler;
        let (connection, deadline, is_clear) = self.begin();
        let steps = match pooler {
            Pooler::None => connection.fetch_many(query),
            Pooler::Transaction => connection.fetch_many(Unnamed(query)),
        };
        Box::pin(InTime::<DB> { steps, deadline: Box::pin(sleep_until(deadline)), is_clear })
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<DB::Row>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, DB>,
    {
        let pooler = self.pooler;
        let (connection, deadline, is_clear) = self.begin();
        let row = match pooler {
            Pooler::None => connection.fetch_optional(query),
            Pooler::Transaction => connection.fetch_optional(Unnamed(query)),
        };
        in_time(row, deadline, is_clear)
    }

    fn prepare_with<'e>(self, sql: SqlStr, parameters: &'e [DB::TypeInfo]) -> BoxFuture<'e, sqlx::Result<DB::Statement>>
    where
        'c: 'e,
    {
        if self.pooler == Pooler::Transaction {
            return Box::pin(async { Err(outlives_its_transaction()) });
        }
        let (connection, deadline, is_clear) = self.begin();
        in_time(connection.prepare_with(sql, parameters), deadline, is_clear)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, sqlx::Result<Describe<DB>>>
    where
        'c: 'e,
    {
        if self.pooler == Pooler::Transaction {
            return Box::pin(async { Err(outlives_its_transaction()) });
        }
        let (connection, deadline, is_clear) = self.begin();
        in_time(connection.describe(sql), deadline, is_clear)
    }
}

/// A statement that is prepared without a name, to be gone after its transaction.
struct Unnamed<E>(E);

impl<'q, DB: Database, E: Execute<'q, DB>> Execute<'q, DB> for Unnamed<E> {
    fn sql(self) -> SqlStr {
        self.0.sql()
    }

    fn statement(&self) -> Option<&DB::Statement> {
        self.0.statement()
    }

    fn take_arguments(&mut self) -> Result<Option<DB::Arguments>, BoxDynError> {
        self.0.take_arguments()
    }

    fn persistent(&self) -> bool {
        false
    }
}

/// A transaction. Dropped without a commit, it has no effect: its connection is closed.
pub(super) struct Transaction<DB: Engine> {
    lent: Lent<DB>,
    ended: bool,
}

impl<DB: Engine> Transaction<DB> {
    pub(super) async fn commit(self) -> sqlx::Result<()> {
        self.end("commit").await
    }

    pub(super) async fn rollback(self) -> sqlx::Result<()> {
        self.end("rollback").await
    }

    async fn end(mut self, statement: &'static str) -> sqlx::Result<()> {
        self.lent.execute(statement).await?;
        self.ended = true;
        Ok(())
    }
}

impl<DB: Engine> Deref for Transaction<DB> {
    type Target = Lent<DB>;

    fn deref(&self) -> &Lent<DB> {
        &self.lent
    }
}

impl<DB: Engine> DerefMut for Transaction<DB> {
    fn deref_mut(&mut self) -> &mut Lent<DB> {
        &mut self.lent
    }
}

impl<DB: Engine> Drop for Transaction<DB> {
    fn drop(&mut self) {
        self.lent.is_clear &= self.ended;
    }
}

/// Waits for the end of a statement, but no longer than allowed.
fn in_time<'e, T: 'e>(
    statement: BoxFuture<'e, sqlx::Result<T>>,
    deadline: Instant,
    is_clear: &'e mut bool,
) -> BoxFuture<'e, sqlx::Result<T>> {
    Box::pin(async move {
        let outcome = timeout_at(deadline, statement).await.map_err(|_| too_late())?;
        *is_clear = leaves_connection(outcome.as_ref().err());
        outcome
    })
}

/// Whether the connection is as good as before. After a refusal it is; of one that failed nobody knows, and a fatal one is
/// the last that Postgres says.
fn leaves_connection(error: Option<&sqlx::Error>) -> bool {
    let is_last = |error: &sqlx::Error| {
        let error = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
        error.is_some_and(|error| matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic))
    };
    error.is_none_or(|error| !is_unavailable(error) && !is_last(error))
}

/// What sqlx prepares on demand has a name, and would be used again.
fn outlives_its_transaction() -> sqlx::Error {
    sqlx::Error::Protocol("nothing is prepared by name behind a pooler".to_owned())
}

/// What a statement gives, for as long as it is allowed to take.
struct InTime<'e, DB: Engine> {
    steps: BoxStream<'e, Step<DB>>,
    deadline: Pin<Box<Sleep>>,
    is_clear: &'e mut bool,
}

impl<DB: Engine> Stream for InTime<'_, DB> {
    type Item = Step<DB>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        match this.steps.as_mut().poll_next(context) {
            Poll::Pending => this.deadline.as_mut().poll(context).map(|()| Some(Err(too_late()))),
            Poll::Ready(Some(Ok(step))) => Poll::Ready(Some(Ok(step))),
            Poll::Ready(end) => {
                *this.is_clear = leaves_connection(end.as_ref().and_then(|step| step.as_ref().err()));
                Poll::Ready(end)
            }
        }
    }
}

fn too_late() -> sqlx::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the database took too long over a statement").into()
}
