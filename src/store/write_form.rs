//! How the three hot writes are sent: opening a binding, accepting one, counting a wrong signature. See
//! `docs/decisions/0028-two-forms-of-the-hot-writes.md`.

use sqlx::{PgConnection, Postgres};

use crate::store::rows::column;
use crate::store::{AuditRecord, Result};

/// How a hot write is sent. What it does is the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum WriteForm {
    /// Plain statements in a short transaction: the form that says what the write does.
    Transaction,
    /// All of them as parts of one statement, which saves Postgres round trips.
    OneStatement,
}

impl WriteForm {
    /// The form for a Postgres database. Where Citus has distributed the tables, inserts within a `with` would run as
    /// sub-plans on every worker, so that a write would need all of them up.
    pub(super) async fn on(connection: &mut PgConnection) -> Result<Self> {
        // Citus lists the tables that it looks after in its own catalogue. Without Citus there is no such table, and no
        // statement may name it.
        let there = sqlx::raw_sql("select (to_regclass('pg_dist_partition') is not null)::text as is_citus");
        let there = there.fetch_one(&mut *connection).await?;
        if column::<Postgres, String>(&there, "is_citus")? != "true" {
            return Ok(Self::OneStatement);
        }
        let distributed = sqlx::raw_sql(
            "select exists (select 1 from pg_dist_partition where logicalrelid = to_regclass('person'))::text as is_distributed",
        );
        let distributed = distributed.fetch_one(connection).await?;
        if column::<Postgres, String>(&distributed, "is_distributed")? != "true" {
            return Ok(Self::OneStatement);
        }
        tracing::info!("Citus has distributed the tables: bindings are written by plain statements in transactions");
        Ok(Self::Transaction)
    }

    /// The form of a write with this record. One statement has no part for a fraud assessment: the parts that a request does
    /// not use cost Postgres too, and a request that waited for SEON does not notice a few round trips.
    pub(super) fn of(self, record: &AuditRecord) -> Self {
        if record.fraud.is_some() { Self::Transaction } else { self }
    }
}
