//! Requests with an idempotency key: claimed before they run; the outcome is stored in the transaction of their work.
//!
//! Of concurrent requests with one key exactly one holds the claim. When its lease expires another request may take the
//! claim over; the first one's work must then not take effect, so every write that stores an outcome checks the claim.
//! A run that ends without a stored outcome frees the key for any request.

use chrono::{DateTime, Utc};

use crate::domain::clock_skew::latest_end;
use crate::domain::idempotency::{Claim, Claimed, LEASE, OUTCOMES_STORED_FOR, OutcomeToStore, Run, StoredOutcome};
use crate::domain::person::PartnerId;
use crate::store::audit::record::StoreOutcome;
use crate::store::dialect::Dialect;
use crate::store::rows::column;
use crate::store::sql_store::SqlStore;
use crate::store::statement::Statement;
use crate::store::{Result, StoreError};

/// Maximum number of attempts to claim, when the conflicting row vanishes between the insert and the read.
const TRIES: usize = 3;

/// Requests with an idempotency key.
#[macro_rules_attribute::apply(port)]
pub trait IdempotentRequests {
    /// Claims the key for one request, and returns the reason if another request holds it.
    async fn claim_request(&self, claim: &Claim) -> Result<Claimed>;

    /// Stores the outcome of a run whose work another request has already done.
    ///
    /// # Errors
    /// `ClaimLost` when another run with the same idempotency key has taken over the claim.
    async fn store_outcome(&self, partner: &PartnerId, to_store: &OutcomeToStore) -> Result<()>;

    /// Ends a run. Every repetition gets the outcome that its work stored; without one the key is free. No effect when
    /// the claim is lost.
    async fn end_request(&self, partner: &PartnerId, run: &Run, now: DateTime<Utc>) -> Result<()>;
}

#[async_trait::async_trait]
impl<DB: Dialect> IdempotentRequests for SqlStore<DB> {
    async fn claim_request(&self, claim: &Claim) -> Result<Claimed> {
        for _ in 0..TRIES {
            if self.try_claim(claim).await? {
                return Ok(Claimed::Yes);
            }
            if let Some(claimed) = self.claimed_before(claim).await? {
                return Ok(claimed);
            }
        }
        Ok(Claimed::Running { until: claim.at })
    }

    async fn store_outcome(&self, partner: &PartnerId, to_store: &OutcomeToStore) -> Result<()> {
        self.write(StoreOutcome { partner, to_store }.query()).await?.map(drop).ok_or(StoreError::ClaimLost)
    }

    async fn end_request(&self, partner: &PartnerId, run: &Run, now: DateTime<Utc>) -> Result<()> {
        let query = sqlx::query(
            "update idempotent_request
                set finished_at = $4
              where partner_id = $1
                and scope = $2
                and claim_id = $3",
        )
        .bind(partner.as_str().to_owned())
        .bind(run.scope.to_vec())
        .bind(run.claim_id)
        .bind(now);
        self.write(query).await?;
        Ok(())
    }
}

impl<DB: Dialect> SqlStore<DB> {
    /// Claims a key that is new, expired or free, or whose previous run of the same request ended without an outcome
    /// because its lease expired (or ends later than a correct clock can have written). Returns whether the claim
    /// succeeded.
    async fn try_claim(&self, claim: &Claim) -> Result<bool> {
        let current = claim.digests.first().map(|digest| digest.to_vec()).unwrap_or_default();
        let previous = claim.digests.last().map(|digest| digest.to_vec()).unwrap_or_default();
        let query = sqlx::query(
            "insert into idempotent_request
                 (scope, claim_id, digest, partner_id, person_id, claimed_at, lease_until)
             values ($1, $2, $3, $4, $5, $6, $7)
             on conflict (partner_id, scope) do update
                set claim_id = excluded.claim_id
                  , digest = excluded.digest
                  , claimed_at = excluded.claimed_at
                  , lease_until = excluded.lease_until
                  , outcome = null
                  , request_id = null
                  , finished_at = null
              where idempotent_request.claimed_at <= $8
                 or ( idempotent_request.outcome is null
                      and ( idempotent_request.finished_at is not null
                         or ( (idempotent_request.lease_until <= $6 or idempotent_request.lease_until > $10)
                              and idempotent_request.digest in ($3, $9) ) ) )
             returning claim_id",
        )
        .bind(claim.run.scope.to_vec())
        .bind(claim.run.claim_id)
        .bind(current)
        .bind(claim.partner.as_str().to_owned())
        .bind(claim.person.as_ref().map(|person| person.as_str().to_owned()))
        .bind(claim.at)
        .bind(claim.at + LEASE)
        .bind(claim.at - OUTCOMES_STORED_FOR)
        .bind(previous)
        .bind(latest_end(claim.at, LEASE));
        Ok(self.write(query).await?.is_some())
    }

    async fn claimed_before(&self, claim: &Claim) -> Result<Option<Claimed>> {
        let query = sqlx::query(
            "select digest, lease_until, outcome, request_id, finished_at
               from idempotent_request
              where scope = $1
                and partner_id = $2",
        )
        .bind(claim.run.scope.to_vec())
        .bind(claim.partner.as_str().to_owned());
        let Some(row) = self.row(query).await? else { return Ok(None) };
        let past = stored_outcome::<DB>(&row)?;
        let is_finished = column::<DB, Option<DateTime<Utc>>>(&row, "finished_at")?.is_some();
        if is_finished && past.is_none() {
            // Freed since the insert: retry.
            return Ok(None);
        }
        let digest = column::<DB, Vec<u8>>(&row, "digest")?;
        if !claim.digests.iter().any(|known| known[..] == digest[..]) {
            return Ok(Some(Claimed::OtherRequest));
        }
        let until = column::<DB, DateTime<Utc>>(&row, "lease_until")?;
        let is_over = is_finished || until <= claim.at || until > latest_end(claim.at, LEASE);
        Ok(match past {
            Some(past) if is_over => Some(Claimed::Before(past)),
            // Its lease expired since the insert: retry.
            None if is_over => None,
            _ => Some(Claimed::Running { until }),
        })
    }
}

fn stored_outcome<DB: Dialect>(row: &DB::Row) -> Result<Option<StoredOutcome>> {
    let Some(outcome) = column::<DB, Option<String>>(row, "outcome")? else { return Ok(None) };
    Ok(Some(StoredOutcome { outcome, request_id: column::<DB, String>(row, "request_id")? }))
}
