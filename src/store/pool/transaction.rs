//! A transaction on a lent connection.

use std::ops::{Deref, DerefMut};

use sqlx::Executor;

use super::lent::{Lent, leaves_connection};
use crate::store::dialect::Dialect;
use crate::store::statement::{Batch, Call, Statement};

/// A transaction. Dropped without commit, it is rolled back by closing its connection.
pub(in crate::store) struct Transaction<DB: Dialect> {
    pub(super) lent: Lent<DB>,
    pub(super) ended: bool,
}

impl<DB: Dialect> Transaction<DB> {
    /// Runs a statement and returns its rows.
    pub(in crate::store) async fn rows(&mut self, statement: impl Statement<DB>) -> sqlx::Result<Vec<DB::Row>> {
        statement.query().fetch_all(&mut self.lent).await
    }

    pub(in crate::store) async fn commit(self) -> sqlx::Result<()> {
        self.end("commit").await
    }

    /// Runs the statements and commits. If one fails, the transaction is rolled back.
    pub(in crate::store) async fn commit_with(mut self, rest: Batch<DB>) -> sqlx::Result<()> {
        for call in rest.into_calls() {
            if let Err(error) = call.execute(&mut self.lent).await {
                if leaves_connection(Some(&error)) {
                    self.rollback().await?;
                }
                return Err(error);
            }
        }
        match DB::CALL {
            Call::Statement => self.commit().await,
            Call::Text => {
                self.ended = true;
                Ok(())
            }
        }
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
