//! The store, generic over the engine: its pools, and the functions that run statements on them.

use std::sync::Arc;

use sqlx::query::Query;

use super::pool::{Pool, Transaction};
use super::{PoolUse, Result};
use crate::store::dialect::Dialect;
use crate::store::statement::Statement;
use crate::store::write_form::WriteForm;

/// The store on the engine `DB`.
///
/// Two pools, because SQLite has one writer at a time: with a write pool of one connection, writers queue fairly
/// instead of polling for the lock. On Postgres both fields are the same pool.
pub(super) struct SqlStore<DB: Dialect> {
    reader: Arc<Pool<DB>>,
    writer: Arc<Pool<DB>>,
    write_form: WriteForm,
}

impl<DB: Dialect> SqlStore<DB> {
    pub(super) fn new(reader: Arc<Pool<DB>>, writer: Arc<Pool<DB>>, write_form: WriteForm) -> Self {
        Self { reader, writer, write_form }
    }

    pub(super) fn writer(&self) -> &Pool<DB> {
        &self.writer
    }

    /// The form of the hot writes.
    pub(super) fn write_form(&self) -> WriteForm {
        self.write_form
    }

    /// Reads at most one row.
    pub(super) async fn row(&self, query: Query<'_, DB, DB::Arguments>) -> Result<Option<DB::Row>> {
        Ok(self.reader.one(query).await?)
    }

    /// Reads all rows.
    pub(super) async fn rows(&self, query: Query<'_, DB, DB::Arguments>) -> Result<Vec<DB::Row>> {
        Ok(self.reader.all(query).await?)
    }

    /// Runs one statement in its own transaction and returns its row.
    ///
    /// Fetches all rows instead of stopping at the first: SQLite commits when the statement is finished, not when it
    /// has yielded its row, and no caller may see a write that is not durable yet.
    pub(super) async fn write(&self, query: Query<'_, DB, DB::Arguments>) -> Result<Option<DB::Row>> {
        Ok(self.writer.all(query).await?.pop())
    }

    /// Begins a write transaction. Dropped without commit, it is rolled back.
    pub(super) async fn begin(&self) -> Result<Transaction<DB>> {
        Ok(self.writer.begin_with(DB::BEGIN_WRITE).await?)
    }

    /// Begins a write transaction with its first statement and returns that statement's rows.
    pub(super) async fn begin_and(&self, statement: impl Statement<DB>) -> Result<(Transaction<DB>, Vec<DB::Row>)> {
        Ok(self.writer.begin_and(statement).await?)
    }

    /// Reads at most one row by an index: see [`Dialect::BEGIN_IN_ORDER`].
    pub(super) async fn row_in_order(&self, query: Query<'_, DB, DB::Arguments>) -> Result<Option<DB::Row>> {
        let mut transaction = self.reader.begin_with(DB::BEGIN_IN_ORDER).await?;
        let row = query.fetch_all(&mut *transaction).await?.pop();
        transaction.commit().await?;
        Ok(row)
    }

    pub(super) fn usage(&self) -> PoolUse {
        self.reader.usage()
    }

    pub(super) async fn shut(&self) {
        self.writer.close().await;
        self.reader.close().await;
    }
}
