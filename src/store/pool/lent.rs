//! A borrowed connection with a deadline, which closes itself if a statement leaves it in an unknown state.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::{fmt, io};

use deadpool::managed::{Object, PoolError};
use futures_core::Stream;
use futures_core::future::BoxFuture;
use futures_core::stream::BoxStream;
use sqlx::error::BoxDynError;
use sqlx::{Database, Describe, Either, Execute, Executor, SqlStr};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout_at};

use super::Connector;
use crate::store::connect::Pooler;
use crate::store::dialect::Dialect;
use crate::store::error::{is_stale_plan, is_unavailable, kind};
use crate::traces::{self, Operation};

/// A row, or the end of a statement.
type Step<DB> = Either<<DB as Database>::QueryResult, <DB as Database>::Row>;

/// A connection for one statement or one transaction.
pub(in crate::store) struct Lent<DB: Dialect> {
    /// `None` only on drop and while it is exchanged for another.
    connection: Option<Object<Connector<DB>>>,
    pooler: Pooler,
    deadline: Instant,
    /// Whether every statement has ended and left the connection in a known state.
    is_clear: bool,
    /// The statement that began the transaction, if there is one.
    begun: Option<SqlStr>,
    /// Whether no statement but the one that began the transaction has run, so that the connection can be replaced.
    is_untouched: bool,
}

impl<DB: Dialect> Lent<DB> {
    pub(super) fn new(connection: Object<Connector<DB>>, pooler: Pooler, deadline: Instant) -> Self {
        Self { connection: Some(connection), pooler, deadline, is_clear: true, begun: None, is_untouched: true }
    }

    /// Begins a transaction.
    pub(super) async fn begin(&mut self, begin: SqlStr) -> sqlx::Result<()> {
        self.is_clear = false;
        let span = traces::statement(DB::SYSTEM, begin.as_str());
        let outcome = timeout_at(self.deadline, self.run(begin.clone(), None)).await;
        self.settle(outcome, span)?;
        self.begun = Some(begin);
        Ok(())
    }

    /// Closes the connection on drop unless its transaction has ended.
    pub(super) fn close_unless(&mut self, ended: bool) {
        self.is_clear &= ended;
    }

    /// Runs a statement to its end. If its plan is stale and it is the first statement of its transaction, runs it
    /// again on a new connection without prepared statements.
    async fn statement(&mut self, sql: SqlStr, arguments: Option<DB::Arguments>) -> sqlx::Result<Vec<Step<DB>>> {
        let may_repeat = std::mem::replace(&mut self.is_untouched, false);
        let again = may_repeat.then(|| arguments.clone());
        match self.run(sql.clone(), arguments).await {
            Err(error) if is_stale_plan(&error) => {
                if let Some(connection) = &self.connection {
                    connection.forget_plans();
                }
                let Some(arguments) = again else { return Err(error) };
                self.exchange().await?;
                if let Some(begin) = self.begun.clone() {
                    self.run(begin, None).await?;
                }
                self.run(sql, arguments).await
            }
            outcome => outcome,
        }
    }

    /// Replaces the connection by one without stale plans.
    async fn exchange(&mut self) -> sqlx::Result<()> {
        let stale = self.connection.take().ok_or(sqlx::Error::PoolClosed)?;
        let pool = Object::pool(&stale).ok_or(sqlx::Error::PoolClosed)?;
        drop(Object::take(stale));
        self.connection = Some(pool.get().await.map_err(cause)?);
        Ok(())
    }

    async fn run(&mut self, sql: SqlStr, arguments: Option<DB::Arguments>) -> sqlx::Result<Vec<Step<DB>>> {
        let connection = self.connection.as_mut().ok_or(sqlx::Error::PoolClosed)?;
        let statement = Statement { sql, arguments, persistent: self.pooler == Pooler::None };
        let mut stream = (&mut ***connection).fetch_many(statement);
        let mut steps = Vec::new();
        while let Some(step) = std::future::poll_fn(|context| stream.as_mut().poll_next(context)).await {
            steps.push(step?);
        }
        Ok(steps)
    }

    /// Runs a statement with the deadline.
    async fn steps(
        &mut self,
        sql: SqlStr,
        arguments: Result<Option<DB::Arguments>, BoxDynError>,
    ) -> sqlx::Result<Vec<Step<DB>>> {
        let arguments = arguments.map_err(sqlx::Error::Encode)?;
        self.is_clear = false;
        let span = traces::statement(DB::SYSTEM, sql.as_str());
        let outcome = timeout_at(self.deadline, self.statement(sql, arguments)).await;
        self.settle(outcome, span)
    }

    fn settle<T>(&mut self, outcome: Result<sqlx::Result<T>, Elapsed>, mut span: Operation) -> sqlx::Result<T> {
        let outcome = outcome.map_err(|_| {
            span.failed(|| "timeout".into());
            too_late()
        })?;
        if let Err(error) = &outcome {
            span.failed(|| kind(error));
        }
        self.is_clear = leaves_connection(outcome.as_ref().err());
        outcome
    }
}

/// Required by sqlx's `Executor`. Prints nothing of the connection, which holds secrets.
impl<DB: Dialect> fmt::Debug for Lent<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lent").finish_non_exhaustive()
    }
}

impl<DB: Dialect> Drop for Lent<DB> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take().filter(|_| !self.is_clear) {
            drop(Object::take(connection));
        }
    }
}

impl<'c, DB: Dialect> Executor<'c> for &'c mut Lent<DB> {
    type Database = DB;

    fn fetch_many<'e, 'q: 'e, E>(self, mut query: E) -> BoxStream<'e, sqlx::Result<Step<DB>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, DB>,
    {
        let arguments = query.take_arguments();
        Box::pin(Steps::<DB>::Running(Box::pin(self.steps(query.sql(), arguments))))
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, mut query: E) -> BoxFuture<'e, sqlx::Result<Option<DB::Row>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, DB>,
    {
        let arguments = query.take_arguments();
        let steps = self.steps(query.sql(), arguments);
        Box::pin(async move { Ok(steps.await?.into_iter().find_map(Either::right)) })
    }

    fn prepare_with<'e>(self, _: SqlStr, _: &'e [DB::TypeInfo]) -> BoxFuture<'e, sqlx::Result<DB::Statement>>
    where
        'c: 'e,
    {
        Box::pin(async { Err(not_explicitly()) })
    }

    fn describe<'e>(self, _: SqlStr) -> BoxFuture<'e, sqlx::Result<Describe<DB>>>
    where
        'c: 'e,
    {
        Box::pin(async { Err(not_explicitly()) })
    }
}

/// Statements that are prepared explicitly could not be replaced when their plan is stale.
fn not_explicitly() -> sqlx::Error {
    sqlx::Error::Protocol("explicit prepare and describe are not supported".to_owned())
}

/// A statement's text and arguments. Behind a pooler it is unnamed, so that it does not outlive its transaction.
struct Statement<DB: Database> {
    sql: SqlStr,
    arguments: Option<DB::Arguments>,
    persistent: bool,
}

impl<DB: Database> Execute<'_, DB> for Statement<DB> {
    fn sql(self) -> SqlStr {
        self.sql
    }

    fn statement(&self) -> Option<&DB::Statement> {
        None
    }

    fn take_arguments(&mut self) -> Result<Option<DB::Arguments>, BoxDynError> {
        Ok(self.arguments.take())
    }

    fn persistent(&self) -> bool {
        self.persistent
    }
}

/// Whether the connection can be reused. After an error of the statement it can; after a failure of the database its
/// state is unknown.
pub(super) fn leaves_connection(error: Option<&sqlx::Error>) -> bool {
    error.is_none_or(|error| !is_unavailable(error))
}

/// The stream of a statement's rows, available once it has ended.
enum Steps<'e, DB: Dialect> {
    Running(BoxFuture<'e, sqlx::Result<Vec<Step<DB>>>>),
    Ended(VecDeque<Step<DB>>),
}

impl<DB: Dialect> Unpin for Steps<'_, DB> {}

impl<DB: Dialect> Stream for Steps<'_, DB> {
    type Item = sqlx::Result<Step<DB>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match &mut *self {
                Self::Ended(steps) => return Poll::Ready(steps.pop_front().map(Ok)),
                Self::Running(statement) => {
                    let outcome = std::task::ready!(statement.as_mut().poll(context));
                    let (steps, error) = match outcome {
                        Ok(steps) => (steps.into(), None),
                        Err(error) => (VecDeque::new(), Some(error)),
                    };
                    *self = Self::Ended(steps);
                    if let Some(error) = error {
                        return Poll::Ready(Some(Err(error)));
                    }
                }
            }
        }
    }
}

/// The cause of a pool error.
pub(super) fn cause(error: PoolError<sqlx::Error>) -> sqlx::Error {
    match error {
        PoolError::Backend(error) => error,
        _ => sqlx::Error::PoolClosed,
    }
}

fn too_late() -> sqlx::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the database did not answer before the deadline").into()
}
