//! What is written down together with a change: the audit event, the fraud assessment, the outcome for an idempotency key.
//!
//! All of it is in the commit of the change or none of it is. A request that changed nothing because it was refused is
//! written down alone.

use crate::domain::audit::AuditEvent;
use crate::domain::fraud::FraudAssessment;
use crate::domain::idempotency::KeptOutcome;
use crate::domain::person::PartnerId;
use crate::store::audit::events::InsertEvent;
use crate::store::dialect::Dialect;
use crate::store::fraud_assessments::InsertAssessment;
use crate::store::pool::Transaction;
use crate::store::sql_store::SqlStore;
use crate::store::statement::{Batch, Bound, Statement};
use crate::store::{Result, StoreError};

/// What is written down together with a change.
#[derive(Clone, Debug)]
pub struct AuditRecord {
    /// What happened.
    pub event: AuditEvent,
    /// What the fraud check said, when it was asked.
    pub fraud: Option<FraudAssessment>,
    /// The outcome, when the request came with an idempotency key.
    pub kept: Option<KeptOutcome>,
}

impl From<AuditEvent> for AuditRecord {
    fn from(event: AuditEvent) -> Self {
        Self { event, fraud: None, kept: None }
    }
}

/// Records of what changed nothing else.
#[macro_rules_attribute::apply(port)]
pub trait AuditRecords {
    /// Writes down a request that was refused.
    ///
    /// # Errors
    /// `ClaimLost`, and nothing written, when another run of the same request has taken over.
    async fn record(&self, partner: &PartnerId, record: &AuditRecord) -> Result<()>;
}

#[async_trait::async_trait]
impl<DB: Dialect> AuditRecords for SqlStore<DB> {
    async fn record(&self, partner: &PartnerId, record: &AuditRecord) -> Result<()> {
        if record.fraud.is_none() && record.kept.is_none() {
            self.write(InsertEvent { partner, event: &record.event }.query()).await?;
            return Ok(());
        }
        let transaction = self.begin().await?;
        commit_with_record(transaction, Batch::new(), partner, record).await
    }
}

/// Writes a record down within the transaction of its change. To be called last: it holds no lock that others wait for.
pub(in crate::store) async fn write_down<DB: Dialect>(
    transaction: &mut Transaction<DB>,
    partner: &PartnerId,
    record: &AuditRecord,
) -> Result<()> {
    let AuditRecord { event, fraud, kept } = record;
    InsertEvent { partner, event }.query().execute(&mut **transaction).await?;
    if let Some(fraud) = fraud {
        InsertAssessment { partner, fraud }.query().execute(&mut **transaction).await?;
    }
    if let Some(kept) = kept
        && transaction.rows(KeepOutcome { partner, kept }).await?.is_empty()
    {
        return Err(StoreError::ClaimLost);
    }
    Ok(())
}

/// Ends the transaction of a change: runs the rest of the change, writes its record down, and commits.
///
/// # Errors
/// `ClaimLost`, and nothing changed, when another run of the same request has taken over.
pub(in crate::store) async fn commit_with_record<DB: Dialect>(
    mut transaction: Transaction<DB>,
    mut rest: Batch<DB>,
    partner: &PartnerId,
    record: &AuditRecord,
) -> Result<()> {
    let AuditRecord { event, fraud, kept } = record;
    if let Some(kept) = kept
        && transaction.rows(KeepOutcome { partner, kept }).await?.is_empty()
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

/// Writes the outcome under its claim, or takes one back that came to nothing. Returns no row when the claim is lost.
pub(in crate::store) struct KeepOutcome<'a> {
    pub(in crate::store) partner: &'a PartnerId,
    pub(in crate::store) kept: &'a KeptOutcome,
}

impl<DB: Dialect> Statement<DB> for KeepOutcome<'_> {
    const SQL: &'static str = "update idempotent_request
            set outcome = $4
              , request_id = $5
          where partner_id = $1
            and scope = $2
            and claim_id = $3
         returning claim_id";

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        let KeptOutcome { run, outcome } = self.kept;
        query
            .bind(self.partner.as_str().to_owned())
            .bind(run.scope.to_vec())
            .bind(run.claim_id)
            .bind(outcome.clone())
            .bind(run.request_id.clone())
    }
}
