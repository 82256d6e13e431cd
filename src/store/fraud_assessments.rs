//! Fraud assessments. There is no port: an assessment is inserted as part of the
//! [`AuditRecord`](crate::store::AuditRecord) of the write that followed it.

use crate::domain::fraud::FraudAssessment;
use crate::domain::person::PartnerId;
use crate::store::dialect::Dialect;
use crate::store::statement::{Bound, Statement};

/// Inserts a fraud assessment in the transaction of the write that followed it.
pub(super) struct InsertAssessment<'a> {
    pub(super) partner: &'a PartnerId,
    pub(super) fraud: &'a FraudAssessment,
}

impl<DB: Dialect> Statement<DB> for InsertAssessment<'_> {
    const SQL: &'static str = "insert into fraud_assessment
             ( assessment_id, partner_id, person_id, object_id, action, state, score, provider_id, latency_ms
             , allowed, assessed_at )
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        let fraud = self.fraud;
        query
            .bind(fraud.id)
            .bind(self.partner.as_str().to_owned())
            .bind(fraud.person_id.as_str().to_owned())
            .bind(fraud.object_id)
            .bind(fraud.action.to_owned())
            .bind(fraud.state.to_owned())
            .bind(fraud.score)
            .bind(fraud.provider_id.clone())
            .bind(fraud.latency_ms)
            // SQLite's strict tables have no boolean type.
            .bind(if fraud.allowed { "yes" } else { "no" }.to_owned())
            .bind(fraud.assessed_at)
    }
}
