//! Verdicts on answers to challenges: accepted, wrong, or the repeat of an accepted one.
//!
//! Each takes effect only if the person's row still allows it: see `bindings`.

use chrono::{DateTime, Utc};

use super::Result;
use super::bindings::Bindings;
use super::engine::Engine;
use super::error::is_taken;
use super::failures::spend_budget;
use super::rows::column;
use super::sql_store::SqlStore;
use crate::domain::challenge::{Acceptance, REPEAT_WINDOW, WrongSignature};
use crate::domain::fraud::FraudRecord;
use crate::domain::id::ChallengeId;
use crate::domain::person::PartnerId;

/// What became of an acceptance.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Accepted {
    /// The device is bound.
    Bound,
    /// The challenge was met, expired, superseded or closed meanwhile, or the person has to wait.
    Gone,
    /// The person has as many devices as allowed; the challenge is closed.
    DeviceLimit,
    /// A bound device already has the key; the challenge is closed.
    KeyTaken,
}

/// Verdicts on answers to challenges.
#[async_trait::async_trait]
pub trait Verdicts {
    /// Counts a wrong signature against the open attempt and against the person. Gives how many the challenge has had;
    /// `None`, and nothing counted, when it is not open or the person has to wait.
    async fn count_wrong_signature(&self, partner: &PartnerId, wrong: &WrongSignature) -> Result<Option<i64>>;

    /// Binds the device, unless something came in between.
    async fn accept_binding(
        &self,
        partner: &PartnerId,
        acceptance: &Acceptance,
        fraud: Option<&FraudRecord>,
    ) -> Result<Accepted>;

    /// Whether this signature bound this device within the last minute, and the device is still there.
    async fn is_repeat(
        &self,
        partner: &PartnerId,
        id: ChallengeId,
        fingerprint: [u8; 32],
        now: DateTime<Utc>,
    ) -> Result<bool>;
}

#[async_trait::async_trait]
impl<DB: Engine> Verdicts for SqlStore<DB> {
    async fn count_wrong_signature(&self, partner: &PartnerId, wrong: &WrongSignature) -> Result<Option<i64>> {
        let query = sqlx::query(concat!(
            "update person
                set binding_wrong_signatures = binding_wrong_signatures + 1
                  , ",
            spend_budget!("$3", "$5", "$6", "$7"),
            "where binding_id = $1
               and partner_id = $2
               and binding_closed_at is null
               and binding_expires_at > $3
               and binding_wrong_signatures < $4
               and (cooling_until is null or cooling_until <= $3)
             returning binding_wrong_signatures"
        ))
        .bind(wrong.id.uuid())
        .bind(partner.as_str().to_owned())
        .bind(wrong.at)
        .bind(wrong.cap)
        .bind(wrong.budget.window_start(wrong.at))
        .bind(wrong.budget.cap)
        .bind(wrong.budget.cooling_until(wrong.at));
        self.write(query).await?.map(|row| column::<DB, i64>(&row, "binding_wrong_signatures")).transpose()
    }

    async fn accept_binding(
        &self,
        partner: &PartnerId,
        acceptance: &Acceptance,
        fraud: Option<&FraudRecord>,
    ) -> Result<Accepted> {
        match DB::accept_binding(self.writer(), partner, acceptance, fraud).await {
            Ok(true) => Ok(Accepted::Bound),
            Ok(false) if self.close_for_device_limit(partner, acceptance).await? => Ok(Accepted::DeviceLimit),
            Ok(false) => Ok(Accepted::Gone),
            Err(error) if is_taken(&error) => {
                // The statement had no effect at all, so the assessment is not recorded yet either.
                self.close_binding(partner, acceptance.id, acceptance.at).await?;
                self.record_if_any(partner, fraud).await?;
                Ok(Accepted::KeyTaken)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn is_repeat(
        &self,
        partner: &PartnerId,
        id: ChallengeId,
        fingerprint: [u8; 32],
        now: DateTime<Utc>,
    ) -> Result<bool> {
        let query = sqlx::query(
            "select device_id
               from device
              where device_id = $1
                and partner_id = $2
                and binding_fingerprint = $3
                and bound_at > $4
                and deleted_at is null",
        )
        .bind(id.uuid())
        .bind(partner.as_str().to_owned())
        .bind(fingerprint.to_vec())
        .bind(now - REPEAT_WINDOW);
        Ok(self.row(query).await?.is_some())
    }
}

impl<DB: Engine> SqlStore<DB> {
    /// Tells a full house from a lost race, and closes the challenge in the first case.
    async fn close_for_device_limit(&self, partner: &PartnerId, acceptance: &Acceptance) -> Result<bool> {
        let query = sqlx::query(
            "update person
                set binding_closed_at = $3
              where binding_id = $1
                and partner_id = $2
                and binding_closed_at is null
                and binding_expires_at > $3
                and binding_wrong_signatures < $4
                and bound_devices >= $5
             returning bound_devices",
        )
        .bind(acceptance.id.uuid())
        .bind(partner.as_str().to_owned())
        .bind(acceptance.at)
        .bind(acceptance.wrong_signatures_cap)
        .bind(acceptance.device_limit);
        Ok(self.write(query).await?.is_some())
    }
}
