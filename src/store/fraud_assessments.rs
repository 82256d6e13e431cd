//! The record of fraud checks that had no other write to ride on: refusals, and checks of requests that failed later.

use sqlx::query::Query;

use super::Result;
use super::engine::Engine;
use super::sql_store::SqlStore;
use crate::domain::fraud::FraudRecord;
use crate::domain::person::PartnerId;

/// Recorded fraud checks.
#[async_trait::async_trait]
pub trait FraudAssessments {
    /// Records an assessment in its own commit.
    async fn record_fraud_assessment(&self, partner: &PartnerId, record: &FraudRecord) -> Result<()>;
}

#[async_trait::async_trait]
impl<DB: Engine> FraudAssessments for SqlStore<DB> {
    async fn record_fraud_assessment(&self, partner: &PartnerId, record: &FraudRecord) -> Result<()> {
        self.write(insert::<DB>(partner, record)).await?;
        Ok(())
    }
}

impl<DB: Engine> SqlStore<DB> {
    /// Records an assessment whose own write was rolled back.
    pub(super) async fn record_if_any(&self, partner: &PartnerId, record: Option<&FraudRecord>) -> Result<()> {
        match record {
            Some(record) => self.record_fraud_assessment(partner, record).await,
            None => Ok(()),
        }
    }
}

/// The insertion of one record, to run alone or within a transaction.
pub(super) fn insert<DB: Engine>(partner: &PartnerId, record: &FraudRecord) -> Query<'static, DB, DB::Arguments> {
    sqlx::query(
        "insert into fraud_assessment
             ( assessment_id, partner_id, person_id, device_id, action, state, score, provider_id, latency_ms
             , allowed, assessed_at )
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(record.id)
    .bind(partner.as_str().to_owned())
    .bind(record.person_id.as_str().to_owned())
    .bind(record.device_id.uuid())
    .bind(record.action.to_owned())
    .bind(record.state.to_owned())
    .bind(record.score)
    .bind(record.provider_id.clone())
    .bind(record.latency_ms)
    .bind(yes_or_no(record.allowed).to_owned())
    .bind(record.assessed_at)
}

/// SQLite's strict tables have no boolean.
pub(super) fn yes_or_no(fact: bool) -> &'static str {
    if fact { "yes" } else { "no" }
}
