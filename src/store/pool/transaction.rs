//! A transaction on a lent connection.

use std::ops::{Deref, DerefMut};

use sqlx::Executor;

use super::lent::Lent;
use crate::store::dialect::Dialect;

/// A transaction. Dropped without a commit, it has no effect: its connection is closed.
pub(in crate::store) struct Transaction<DB: Dialect> {
    pub(super) lent: Lent<DB>,
    pub(super) ended: bool,
}

impl<DB: Dialect> Transaction<DB> {
    pub(in crate::store) async fn commit(self) -> sqlx::Result<()> {
        self.end("commit").await
    }

    pub(in crate::store) async fn rollback(self) -> sqlx::Result<()> {
        self.end("rollback").await
    }

    async fn end(mut self, statement: &'static str) -> sqlx::Result<()> {
        self.lent.execute(statement).await?;
        self.ended = true;
        Ok(())
    }
}

impl<DB: Dialect> Deref for Transaction<DB> {
    type Target = Lent<DB>;

    fn deref(&self) -> &Lent<DB> {
        &self.lent
    }
}

impl<DB: Dialect> DerefMut for Transaction<DB> {
    fn deref_mut(&mut self) -> &mut Lent<DB> {
        &mut self.lent
    }
}

impl<DB: Dialect> Drop for Transaction<DB> {
    fn drop(&mut self) {
        self.lent.close_unless(self.ended);
    }
}
