//! Connections lent with a deadline that is ours: a server that is frozen, or behind a network that drops everything, keeps
//! neither requests nor connections.
//!
//! `statement_timeout` is the server's, and so is no help when the server itself stands still. A borrower of a connection
//! has a little longer than that, for all its statements together. A connection whose last statement did not come to its
//! end (too late, broken, or its request was given up) is closed, never lent again: what it will answer next is unknown.
//! What it was asked may still take effect.
//!
//! All others are lent again at once, without a word to the server: `docs/decisions/0022-a-pool-that-does-not-ask.md`.

mod connector;
mod lent;
mod transaction;

use std::time::Duration;

use deadpool::managed::{self, QueueMode};
use sqlx::SqlSafeStr;
use sqlx::query::Query;
use tokio::time::{Instant, timeout};

use super::connect::Pooler;
use super::{DatabaseSettings, PoolUse};
use crate::store::connect::session::pooled_begin;
use crate::store::dialect::Dialect;
use crate::store::statement::{Call, Statement, begin_and};
pub(super) use connector::{Connector, Open};
use lent::{Lent, cause, leaves_connection};
pub(super) use transaction::Transaction;

/// The server's own limit comes first when it can: it says for certain that nothing happened.
const MARGIN: Duration = Duration::from_secs(1);

/// How long a connection is lent, when the server gives up a statement after `statement_timeout`.
pub(super) fn patience(statement_timeout: Duration) -> Duration {
    statement_timeout + MARGIN
}

/// A pool whose connections are lent for a limited time.
pub(super) struct Pool<DB: Dialect> {
    connections: managed::Pool<Connector<DB>>,
    pooler: Pooler,
    statement_timeout: Duration,
    acquire_timeout: Duration,
    patience: Duration,
}

impl<DB: Dialect> Pool<DB> {
    /// Lends as many connections at a time as the settings allow, or fewer.
    pub(super) fn new(connector: Connector<DB>, max: u32, pooler: Pooler, settings: &DatabaseSettings) -> Self {
        let connections = managed::Pool::builder(connector)
            .max_size(max as usize)
            // The one that came back last is the least likely to have been forgotten by the network.
            .queue_mode(QueueMode::Lifo)
            .build()
            .expect("only time limits need a runtime, and the pool has none");
        let patience = patience(settings.statement_timeout);
        let DatabaseSettings { acquire_timeout, statement_timeout, .. } = *settings;
        Self { connections, pooler, statement_timeout, acquire_timeout, patience }
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
        let connection = connection.map_err(|_| sqlx::Error::PoolTimedOut)?.map_err(cause)?;
        Ok(Lent::new(connection, self.pooler, Instant::now() + self.patience))
    }

    /// Lends a connection on which a transaction has begun with this statement.
    pub(super) async fn begin_with(&self, begin: &'static str) -> sqlx::Result<Transaction<DB>> {
        let mut transaction = Transaction { lent: self.acquire().await?, ended: false };
        let begin = match self.pooler {
            Pooler::None => begin.into_sql_str(),
            Pooler::Transaction => pooled_begin(begin, self.statement_timeout),
        };
        transaction.lent.begin(begin).await?;
        Ok(transaction)
    }

    /// Lends a connection on which a transaction that writes has begun with this statement, and gives the rows that it
    /// returned.
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

    /// Says farewell on every idle connection, and lends none any more.
    pub(super) async fn close(&self) {
        let idle = self.connections.retain(|_, _| false).removed;
        self.connections.close();
        for connection in idle {
            // A server that does not answer any more has no need of a farewell.
            let _ = timeout(self.patience, connection.close()).await;
        }
    }
}
