//! The record of fraud checks. It has no method of its own: an assessment is written down with whatever followed from it.

use sqlx::query::Query;

use crate::domain::fraud::FraudRecord;
use crate::domain::person::PartnerId;
use crate::store::dialect::Dialect;

/// The insertion of one record, to run within a transaction.
pub(super) fn insert<DB: Dialect>(partner: &PartnerId, record: &FraudRecord) -> Query<'static, DB, DB::Arguments> {
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
