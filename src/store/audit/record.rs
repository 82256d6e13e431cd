//! The record of a change: audit event, fraud assessment, outcome for an idempotency key.
//!
//! The record is committed with the change or not at all. A refused request that changed nothing has a transaction for
//! its record alone.

use crate::domain::audit::AuditEvent;
use crate::domain::fraud::FraudAssessment;
use crate::domain::idempotency::OutcomeToStore;
use crate::domain::person::PartnerId;
use crate::store::audit::events::InsertEvent;
use crate::store::dialect::Dialect;
use crate::store::fraud_assessments::InsertAssessment;
use crate::store::pool::Transaction;
use crate::store::sql_store::SqlStore;
use crate::store::statement::{Batch, Bound, Statement};
use crate::store::{Result, StoreError};

/// The record of a change.
#[derive(Clone, Debug)]
pub struct AuditRecord {
    /// The audit event.
    pub event: AuditEvent,
    /// The fraud assessment, if there was one.
    pub fraud: Option<FraudAssessment>,
    /// The outcome, if the request has an idempotency key.
    pub to_store: Option<OutcomeToStore>,
}

impl From<AuditEvent> for AuditRecord {
    fn from(event: AuditEvent) -> Self {
        Self { event, fraud: None, to_store: None }
    }
}

/// Records without a change.
#[macro_rules_attribute::apply(port)]
pub trait AuditRecords {
    /// Records a refused request.
    ///
    /// # Errors
    /// `ClaimLost`, and nothing written, when another run with the same idempotency key has taken over the claim.
    async fn record(&self, partner: &PartnerId, record: &AuditRecord) -> Result<()>;
}

#[async_trait::async_trait]
impl<DB: Dialect> AuditRecords for SqlStore<DB> {
    async fn record(&self, partner: &PartnerId, record: &AuditRecord) -> Result<()> {
        if record.fraud.is_none() && record.to_store.is_none() {
            self.write(InsertEvent { partner, event: &record.event }.query()).await?;
            return Ok(());
        }
        let transaction = self.begin().await?;
        commit_with_record(transaction, Batch::new(), partner, record).await
    }
}

/// Inserts a record in the transaction of its change. To be called last: it takes no lock that other requests wait for.
pub(in crate::store) async fn write_down<DB: Dialect>(
    transaction: &mut Transaction<DB>,
    partner: &PartnerId,
    record: &AuditRecord,
) -> Result<()> {
    let AuditRecord { event, fraud, to_store } = record;
    InsertEvent { partner, event }.query().execute(&mut **transaction).await?;
    if let Some(fraud) = fraud {
        InsertAssessment { partner, fraud }.query().execute(&mut **transaction).await?;
    }
    if let Some(to_store) = to_store
        && transaction.rows(StoreOutcome { partner, to_store }).await?.is_empty()
    {
        return Err(StoreError::ClaimLost);
    }
    Ok(())
}

/// Ends the transaction of a change: runs its remaining statements, inserts its record, and commits.
///
/// # Errors
/// `ClaimLost`, and nothing changed, when another run with the same idempotency key has taken over the claim.
pub(in crate::store) async fn commit_with_record<DB: Dialect>(
    mut transaction: Transaction<DB>,
    mut rest: Batch<DB>,
    partner: &PartnerId,
    record: &AuditRecord,
) -> Result<()> {
    let AuditRecord { event, fraud, to_store } = record;
    if let Some(to_store) = to_store
        && transaction.rows(StoreOutcome { partner, to_store }).await?.is_empty()
    {
        transaction.rollback().await?;
        return Err(StoreError::ClaimLost);
    }
    rest.add(InsertEvent { partner, event })?;
    if let Some(fraud) = fraud {
        rest.add(InsertAssessment { partner, fraud })?;
    }
    Ok(transaction.commit_with(rest).await?)
}

/// Stores the outcome under its claim, or clears it. Returns no row when the claim is lost.
pub(in crate::store) struct StoreOutcome<'a> {
    pub(in crate::store) partner: &'a PartnerId,
    pub(in crate::store) to_store: &'a OutcomeToStore,
}

impl<DB: Dialect> Statement<DB> for StoreOutcome<'_> {
    const SQL: &'static str = "update idempotent_request
            set outcome = $4
              , request_id = $5
              , person_id = coalesce(person_id, $6)
          where partner_id = $1
            and scope = $2
            and claim_id = $3
         returning claim_id";

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        let OutcomeToStore { run, outcome, person } = self.to_store;
        query
            .bind(self.partner.as_str().to_owned())
            .bind(run.scope.to_vec())
            .bind(run.claim_id)
            .bind(outcome.clone())
            .bind(run.request_id.clone())
            .bind(person.as_ref().map(|person| person.as_str().to_owned()))
    }
}
