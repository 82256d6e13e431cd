//! The form of the hot writes: opening a binding, accepting one, counting a wrong signature; opening a challenge of a device
//! and accepting its answer. See `docs/decisions/0028-two-forms-of-the-hot-writes.md`.

use sqlx::{PgConnection, Postgres};

use crate::store::rows::column;
use crate::store::{AuditRecord, Result};

/// How a hot write is sent. Both forms have the same effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum WriteForm {
    /// Plain statements in a short transaction. The reference form.
    Transaction,
    /// One statement with a CTE for each, which saves round trips to Postgres.
    OneStatement,
}

impl WriteForm {
    /// The form for a Postgres database. On tables that Citus has distributed, inserts in CTEs run as subplans on every
    /// worker, so that a write would need every worker to be reachable.
    pub(super) async fn on(connection: &mut PgConnection) -> Result<Self> {
        // Citus lists its tables in its own catalog. Without Citus that catalog does not exist, and a statement that
        // names it fails.
        let catalog = sqlx::raw_sql("select (to_regclass('pg_dist_partition') is not null)::text as is_citus");
        let catalog = catalog.fetch_one(&mut *connection).await?;
        if column::<Postgres, String>(&catalog, "is_citus")? != "true" {
            return Ok(Self::OneStatement);
        }
        let distributed = sqlx::raw_sql(
            "select exists (select 1 from pg_dist_partition where logicalrelid = to_regclass('person'))::text as is_distributed",
        );
        let distributed = distributed.fetch_one(connection).await?;
        if column::<Postgres, String>(&distributed, "is_distributed")? != "true" {
            return Ok(Self::OneStatement);
        }
        tracing::info!(
            "Citus has distributed the tables: bindings and challenges are written by plain statements in transactions"
        );
        Ok(Self::Transaction)
    }

    /// The form of a write with this record. The single statement inserts no fraud assessment: an unused CTE costs
    /// Postgres time, and a few round trips are negligible for a request that waited for SEON.
    pub(super) fn of(self, record: &AuditRecord) -> Self {
        if record.fraud.is_some() { Self::Transaction } else { self }
    }
}
