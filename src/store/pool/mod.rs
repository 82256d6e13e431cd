//! A connection pool with client-side deadlines, so that a frozen server or a network that drops packets blocks neither
//! requests nor connections.
//!
//! `statement_timeout` is enforced by the server, and fails when the server itself is frozen. The deadline of a
//! borrowed connection is slightly longer and covers all its statements together. A connection whose last statement did
//! not end cleanly (timeout, I/O error, cancelled request) is closed, not reused: its protocol state is unknown. That
//! statement may still take effect.
//!
//! All other connections are reused immediately, without a round trip:
//! `docs/decisions/0022-a-pool-that-does-not-ask.md`.

mod connector;
mod lent;
mod transaction;

use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use deadpool::managed::{self, QueueMode};
use sqlx::SqlSafeStr;
use sqlx::query::Query;
use tokio::time::{Instant, timeout};

use super::connect::Pooler;
use super::{DatabaseSettings, PoolUse};
use crate::store::connect::session::{OwnSettings, pooled_begin};
use crate::store::dialect::Dialect;
use crate::store::error::kind;
use crate::store::statement::{Call, Statement, begin_and};
use crate::traces;
pub(super) use connector::{Connector, Open};
use lent::{Lent, cause, leaves_connection};
pub(super) use transaction::Transaction;

/// The server's timeout should fire first: it guarantees that nothing was changed.
const MARGIN: Duration = Duration::from_secs(1);

/// How long a connection may be borrowed, if the server cancels a statement after `statement_timeout`.
pub(super) fn patience(statement_timeout: Duration) -> Duration {
    statement_timeout + MARGIN
}

/// A pool whose connections are borrowed for a limited time.
pub(super) struct Pool<DB: Dialect> {
    connections: managed::Pool<Connector<DB>>,
    pooler: Pooler,
    session: OwnSettings,
    acquire_timeout: Duration,
    patience: Duration,
}

impl<DB: Dialect> Pool<DB> {
    /// Creates a pool of at most `max` connections.
    pub(super) fn new(connector: Connector<DB>, max: u32, pooler: Pooler, settings: &DatabaseSettings) -> Self {
        let connections = managed::Pool::builder(connector)
            .max_size(max as usize)
            // The most recently used connection is the least likely to have been dropped by the network.
            .queue_mode(QueueMode::Lifo)
            .build()
            .expect("only timeouts need a runtime, and the pool has none");
        Self {
            connections,
            pooler,
            session: OwnSettings::of(settings),
            acquire_timeout: settings.acquire_timeout,
            patience: patience(settings.statement_timeout),
        }
    }

    /// Runs one statement in its own transaction and returns its first row.
    pub(super) async fn one(&self, query: Query<'_, DB, DB::Arguments>) -> sqlx::Result<Option<DB::Row>> {
        match self.pooler {
            Pooler::None => query.fetch_optional(&mut self.acquire().await?).await,
            Pooler::Transaction => Ok(self.in_transaction(query).await?.into_iter().next()),
        }
    }

    /// Runs one statement in its own transaction and returns its rows.
    pub(super) async fn all(&self, query: Query<'_, DB, DB::Arguments>) -> sqlx::Result<Vec<DB::Row>> {
        match self.pooler {
            Pooler::None => query.fetch_all(&mut self.acquire().await?).await,
            Pooler::Transaction => self.in_transaction(query).await,
        }
    }

    /// Behind a pooler, begin, prepare and execute must share a transaction: the next one may run on another server
    /// connection.
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

    /// Borrows a connection. Has a span only if it waits: for another request, a ping, or a new connection.
    async fn acquire(&self) -> sqlx::Result<Lent<DB>> {
        let mut borrowing = pin!(timeout(self.acquire_timeout, self.connections.get()));
        let mut wait = None;
        let connection = poll_fn(|context| {
            let polled = borrowing.as_mut().poll(context);
            if polled.is_pending() {
                wait.get_or_insert_with(traces::connection_wait);
            }
            polled
        });
        let connection = match connection.await {
            Ok(connection) => connection.map_err(cause),
            Err(_) => Err(sqlx::Error::PoolTimedOut),
        };
        let connection = connection.inspect_err(|error| {
            if let Some(wait) = &mut wait {
                wait.failed(|| kind(error));
            }
        })?;
        Ok(Lent::new(connection, self.pooler, Instant::now() + self.patience))
    }

    /// Begins a transaction with this statement.
    pub(super) async fn begin_with(&self, begin: &'static str) -> sqlx::Result<Transaction<DB>> {
        let mut transaction = Transaction { lent: self.acquire().await?, ended: false };
        let begin = match self.pooler {
            Pooler::None => begin.into_sql_str(),
            Pooler::Transaction => pooled_begin(begin, self.session),
        };
        transaction.lent.begin(begin).await?;
        Ok(transaction)
    }

    /// Begins a write transaction with its first statement and returns that statement's rows.
    pub(super) async fn begin_and<S: Statement<DB>>(
        &self,
        statement: S,
    ) -> sqlx::Result<(Transaction<DB>, Vec<DB::Row>)> {
        let mut transaction;
        let rows = match DB::CALL {
            Call::Statement => {
                transaction = self.begin_with(DB::BEGIN_WRITE).await?;
                transaction.rows(statement).await?
            }
            Call::Text => {
                transaction = Transaction { lent: self.acquire().await?, ended: false };
                begin_and(statement)?.fetch_all(&mut *transaction).await?
            }
        };
        Ok((transaction, rows))
    }

    /// Runs a text that contains its own `begin` and `commit`. If it fails, the connection is closed, which rolls back.
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

    /// Closes the pool and every idle connection.
    pub(super) async fn close(&self) {
        let idle = self.connections.retain(|_, _| false).removed;
        self.connections.close();
        for connection in idle {
            // An unresponsive server need not be told.
            let _ = timeout(self.patience, connection.close()).await;
        }
    }
}
