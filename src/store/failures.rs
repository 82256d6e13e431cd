//! How often each person has failed of late, and who has to wait (contract section 7).
//!
//! The count is in the person's row, so it holds across challenges and replicas. A failure is counted in the commit that
//! records it, before anybody hears of it.

use chrono::{DateTime, Utc};
use sqlx::query::Query;

use super::engine::Engine;
use super::record::write_down;
use super::rows::column;
use super::sql_store::SqlStore;
use super::{Record, Result};
use crate::domain::failure_budget::{CoolingOff, FailureBudget};
use crate::domain::person::{PartnerId, PersonId};

/// The assignments that count one more failure of a person: a run that is too old begins anew, and one that reaches the cap
/// begins the cool-down and is then forgotten. Takes the parameters for now, the window's start, the cap and the cool-down's
/// end.
macro_rules! spend_budget {
    ($now:literal, $window_start:literal, $cap:literal, $cooling_until:literal) => {
        concat!(
            "failures = case
                 when failures_since > ",
            $window_start,
            " and failures + 1 < ",
            $cap,
            " then failures + 1
                 when failures_since > ",
            $window_start,
            " or ",
            $cap,
            " = 1 then 0
                 else 1 end
           , cooling_until = case
                 when failures_since > ",
            $window_start,
            " and failures + 1 >= ",
            $cap,
            " or ",
            $cap,
            " = 1 then ",
            $cooling_until,
            "
                 else cooling_until end
           , failures_since = case
                 when failures_since > ",
            $window_start,
            " and failures > 0 then failures_since
                 else ",
            $now,
            " end
             "
        )
    };
}
pub(super) use spend_budget;

/// Failures of persons.
#[async_trait::async_trait]
pub trait Failures {
    /// Whether nothing is verified for this person now.
    async fn cooling_off(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        now: DateTime<Utc>,
    ) -> Result<Option<CoolingOff>>;

    /// Counts a failure that belongs to no challenge, such as a wrong signature for a new key.
    async fn count_failure(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        now: DateTime<Utc>,
        budget: &FailureBudget,
        record: &Record,
    ) -> Result<()>;
}

#[async_trait::async_trait]
impl<DB: Engine> Failures for SqlStore<DB> {
    async fn cooling_off(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        now: DateTime<Utc>,
    ) -> Result<Option<CoolingOff>> {
        let query = sqlx::query(
            "select cooling_until
               from person
              where partner_id = $1
                and person_id = $2
                and cooling_until > $3",
        )
        .bind(partner.as_str().to_owned())
        .bind(person.as_str().to_owned())
        .bind(now);
        Ok(self.row(query).await?.map(|row| cooling::<DB>(&row)).transpose()?.flatten())
    }

    async fn count_failure(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        now: DateTime<Utc>,
        budget: &FailureBudget,
        record: &Record,
    ) -> Result<()> {
        let mut transaction = self.begin().await?;
        spend::<DB>(partner, person, now, budget).execute(&mut *transaction).await?;
        write_down::<DB>(&mut transaction, partner, record).await?;
        Ok(transaction.commit().await?)
    }
}

/// Reads `cooling_until`, which the statement leaves null for whoever need not wait.
pub(super) fn cooling<DB: Engine>(row: &DB::Row) -> Result<Option<CoolingOff>> {
    Ok(column::<DB, Option<DateTime<Utc>>>(row, "cooling_until")?.map(|until| CoolingOff { until }))
}

/// The statement that counts one more failure of a person, to run alone or within a transaction.
pub(super) fn spend<DB: Engine>(
    partner: &PartnerId,
    person: &PersonId,
    now: DateTime<Utc>,
    budget: &FailureBudget,
) -> Query<'static, DB, DB::Arguments> {
    sqlx::query(concat!(
        "update person set ",
        spend_budget!("$3", "$4", "$5", "$6"),
        "where partner_id = $1
           and person_id = $2
           and (cooling_until is null or cooling_until <= $3)"
    ))
    .bind(partner.as_str().to_owned())
    .bind(person.as_str().to_owned())
    .bind(now)
    .bind(budget.window_start(now))
    .bind(budget.cap)
    .bind(budget.cooling_until(now))
}

/// The statement that forgives a person's failures after a success. Returns no row when a cool-down has begun, which
/// success does not overtake.
pub(super) fn forgive<DB: Engine>(
    partner: &PartnerId,
    person: &PersonId,
    now: DateTime<Utc>,
) -> Query<'static, DB, DB::Arguments> {
    sqlx::query(
        "update person
            set failures = 0
              , failures_since = null
          where partner_id = $1
            and person_id = $2
            and (cooling_until is null or cooling_until <= $3)
         returning person_id",
    )
    .bind(partner.as_str().to_owned())
    .bind(person.as_str().to_owned())
    .bind(now)
}
