//! Connections lent with a deadline that is ours: a server that is frozen, or behind a network that drops everything, keeps
//! neither requests nor connections.
//!
//! `statement_timeout` is the server's, and so is no help when the server itself stands still. Whoever borrows a connection
//! has a little longer than that, for all its statements together. A connection whose last statement did not come to its
//! end (too late, or its request was given up) is closed, never lent again: nobody knows what it will answer next. What it
//! was asked may still take effect.

use std::io;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use futures_core::future::BoxFuture;
use futures_core::stream::BoxStream;
use sqlx::pool::PoolConnection;
use sqlx::{Database, Describe, Either, Execute, Executor, SqlStr};
use tokio::time::{Instant, Sleep, sleep_until, timeout, timeout_at};

use super::PoolUse;
use super::engine::Engine;

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
    connections: sqlx::Pool<DB>,
    patience: Duration,
}

impl<DB: Engine> Pool<DB> {
    /// Lends the connections of a pool. The server gives up a statement after `statement_timeout`.
    pub(super) fn new(connections: sqlx::Pool<DB>, statement_timeout: Duration) -> Self {
        Self { connections, patience: patience(statement_timeout) }
    }

    /// Lends a connection.
    pub(super) async fn acquire(&self) -> sqlx::Result<Lent<DB>> {
        let connection = self.connections.acquire().await?;
        let deadline = Instant::now() + self.patience;
        Ok(Lent { connection: Some(connection), patience: self.patience, deadline, under_way: false })
    }

    /// Lends a connection on which a transaction has begun with this statement.
    pub(super) async fn begin_with(&self, begin: &'static str) -> sqlx::Result<Transaction<DB>> {
        let mut lent = self.acquire().await?;
        lent.execute(begin).await?;
        Ok(Transaction { lent, ended: false })
    }

    pub(super) fn usage(&self) -> PoolUse {
        PoolUse { open: self.connections.size(), idle: self.connections.num_idle() }
    }

    pub(super) async fn close(&self) {
        self.connections.close().await;
    }
}

/// A connection for one statement, or for one transaction.
#[derive(Debug)]
pub(super) struct Lent<DB: Engine> {
    /// Always there until it is dropped.
    connection: Option<PoolConnection<DB>>,
    patience: Duration,
    deadline: Instant,
    /// Whether a statement has begun and not come to its end.
    under_way: bool,
}

impl<DB: Engine> Lent<DB> {
    /// The parts that a statement works with, from its beginning on.
    fn begin(&mut self) -> (&mut DB::Connection, Instant, &mut bool) {
        self.under_way = true;
        let connection = self.connection.as_mut().expect("it is taken out by drop alone");
        (&mut **connection, self.deadline, &mut self.under_way)
    }
}

impl<DB: Engine> Drop for Lent<DB> {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        if self.under_way {
            drop(connection.detach());
        } else {
            // The pool tries what it gets back, and would wait for ever for a server that has just frozen.
            tokio::spawn(timeout(self.patience, connection.return_to_pool()));
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
        let (connection, deadline, under_way) = self.begin();
        let steps = connection.fetch_many(query);
        Box::pin(InTime::<DB> { steps, deadline: Box::pin(sleep_until(deadline)), under_way })
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<DB::Row>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, DB>,
    {
        let (connection, deadline, under_way) = self.begin();
        in_time(connection.fetch_optional(query), deadline, under_way)
    }

    fn prepare_with<'e>(self, sql: SqlStr, parameters: &'e [DB::TypeInfo]) -> BoxFuture<'e, sqlx::Result<DB::Statement>>
    where
        'c: 'e,
    {
        let (connection, deadline, under_way) = self.begin();
        in_time(connection.prepare_with(sql, parameters), deadline, under_way)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, sqlx::Result<Describe<DB>>>
    where
        'c: 'e,
    {
        let (connection, deadline, under_way) = self.begin();
        in_time(connection.describe(sql), deadline, under_way)
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
        self.lent.under_way |= !self.ended;
    }
}

/// Waits for the end of a statement, but no longer than allowed.
fn in_time<'e, T: 'e>(
    statement: BoxFuture<'e, sqlx::Result<T>>,
    deadline: Instant,
    under_way: &'e mut bool,
) -> BoxFuture<'e, sqlx::Result<T>> {
    Box::pin(async move {
        let outcome = timeout_at(deadline, statement).await.map_err(|_| too_late())?;
        *under_way = false;
        outcome
    })
}

/// What a statement gives, for as long as it is allowed to take.
struct InTime<'e, DB: Engine> {
    steps: BoxStream<'e, Step<DB>>,
    deadline: Pin<Box<Sleep>>,
    under_way: &'e mut bool,
}

impl<DB: Engine> Stream for InTime<'_, DB> {
    type Item = Step<DB>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        match this.steps.as_mut().poll_next(context) {
            Poll::Pending => this.deadline.as_mut().poll(context).map(|()| Some(Err(too_late()))),
            Poll::Ready(Some(Ok(step))) => Poll::Ready(Some(Ok(step))),
            end @ Poll::Ready(_) => {
                *this.under_way = false;
                end
            }
        }
    }
}

fn too_late() -> sqlx::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the database took too long over a statement").into()
}
