//! Recent failures of each person (`docs/errors.md`, 429). The rule is in `domain::failure_budget`.
//!
//! The count is in the person's row, so it holds across challenges and replicas. A failure is counted in the
//! transaction that records it, before the client gets its answer.

use chrono::{DateTime, Utc};
use sqlx::query::Query;

use crate::domain::failure_budget::{FailureBudget, FailureRun};
use crate::domain::person::{PartnerId, PersonId};
use crate::store::audit::record::write_down;
use crate::store::dialect::Dialect;
use crate::store::rows::column;
use crate::store::sql_store::SqlStore;
use crate::store::{AuditRecord, Result, Written};

/// Failures of persons.
#[macro_rules_attribute::apply(port)]
pub trait Failures {
    /// The person's recent failures.
    async fn failures(&self, partner: &PartnerId, person: &PersonId) -> Result<FailureRun>;

    /// Counts a failure that belongs to no challenge, such as a wrong signature for a new key. Overtaken when the
    /// person is cooling off.
    async fn count_failure(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        now: DateTime<Utc>,
        budget: &FailureBudget,
        record: &AuditRecord,
    ) -> Result<Written>;
}

#[async_trait::async_trait]
impl<DB: Dialect> Failures for SqlStore<DB> {
    async fn failures(&self, partner: &PartnerId, person: &PersonId) -> Result<FailureRun> {
        let query = sqlx::query(
            "select failures, last_failure_at
               from person
              where partner_id = $1
                and person_id = $2",
        )
        .bind(partner.as_str().to_owned())
        .bind(person.as_str().to_owned());
        Ok(self.row(query).await?.map(|row| failure_run::<DB>(&row)).transpose()?.unwrap_or_default())
    }

    async fn count_failure(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        now: DateTime<Utc>,
        budget: &FailureBudget,
        record: &AuditRecord,
    ) -> Result<Written> {
        let mut transaction = self.begin().await?;
        if spend::<DB>(partner, person, now, budget).fetch_all(&mut *transaction).await?.is_empty() {
            transaction.rollback().await?;
            return Ok(Written::Overtaken);
        }
        write_down::<DB>(&mut transaction, partner, record).await?;
        transaction.commit().await?;
        Ok(Written::Done(()))
    }
}

/// Reads `failures` and `last_failure_at`, which are null for a person without a row.
pub(in crate::store) fn failure_run<DB: Dialect>(row: &DB::Row) -> Result<FailureRun> {
    Ok(FailureRun {
        count: column::<DB, Option<i64>>(row, "failures")?.unwrap_or_default(),
        last: column::<DB, _>(row, "last_failure_at")?,
    })
}

/// Counts a failure of a person. A failure that is too late after the last, or follows a full run, starts a new run.
/// While the person is cooling off it counts nothing and returns no row.
pub(in crate::store) fn spend<DB: Dialect>(
    partner: &PartnerId,
    person: &PersonId,
    now: DateTime<Utc>,
    budget: &FailureBudget,
) -> Query<'static, DB, DB::Arguments> {
    let (after, before) = budget.pausing_between(now);
    sqlx::query(
        "update person
            set failures = case when failures < $5 and last_failure_at > $4 then failures + 1 else 1 end
              , last_failure_at = $3
          where partner_id = $1
            and person_id = $2
            and (failures < $5 or last_failure_at <= $6 or last_failure_at >= $7)
         returning person_id",
    )
    .bind(partner.as_str().to_owned())
    .bind(person.as_str().to_owned())
    .bind(now)
    .bind(budget.continued_since(now))
    .bind(budget.cap)
    .bind(after)
    .bind(before)
}

/// Resets a person's failures after a success. Returns no row when a pause has begun: a success does not end it.
pub(in crate::store) fn forgive<DB: Dialect>(
    partner: &PartnerId,
    person: &PersonId,
    now: DateTime<Utc>,
    budget: &FailureBudget,
) -> Query<'static, DB, DB::Arguments> {
    let (after, before) = budget.pausing_between(now);
    sqlx::query(
        "update person
            set failures = 0
              , last_failure_at = null
          where partner_id = $1
            and person_id = $2
            and (failures < $3 or last_failure_at <= $4 or last_failure_at >= $5)
         returning person_id",
    )
    .bind(partner.as_str().to_owned())
    .bind(person.as_str().to_owned())
    .bind(budget.cap)
    .bind(after)
    .bind(before)
}
