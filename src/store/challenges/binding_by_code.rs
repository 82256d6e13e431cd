//! Bindings whose answer signs an activation code in place of a code sent by SMS.
//!
//! A code binds one device: accepting an answer marks the code as used, if it is still live, before it binds. Such
//! bindings are rare, so they have the transaction form only, on both databases. Every write locks the code before the
//! person's row, as erasure does.

use chrono::{DateTime, Utc};

use crate::crypto::PublicKey;
use crate::domain::challenges::{
    Acceptance, ActivationChallenge, ChallengeId, FAILURES_MAX, NewBinding, WrongSignature,
};
use crate::domain::failure_budget::FailureRun;
use crate::domain::person::{PartnerId, PersonId};
use crate::store::audit::record::commit_with_record;
use crate::store::challenges::activation::activation;
use crate::store::challenges::binding::OpenBinding;
use crate::store::challenges::binding_outcomes::{
    AcceptBinding, CountWrongSignature, InsertBoundDevice, InsertFirstKey,
};
use crate::store::dialect::Dialect;
use crate::store::persons::failures::failure_run;
use crate::store::rows::column;
use crate::store::sql_store::SqlStore;
use crate::store::statement::{Batch, Bound, Statement};
use crate::store::{Accepted, AuditRecord, Result};

/// The data that decides whether a person may request a device with an activation code.
#[derive(Clone, Debug)]
pub struct CodeProspects {
    /// The person's newest code, live or not.
    pub activation: ActivationChallenge,
    /// Number of bound devices.
    pub bound_devices: i64,
    /// Whether a bound device of the partner already has this key.
    pub key_is_taken: bool,
    /// The person's recent failures.
    pub failures: FailureRun,
}

/// Bindings with an activation code.
#[macro_rules_attribute::apply(port)]
pub trait CodeBindings {
    /// Reads the preconditions of a new binding. `None` when the person has no activation code.
    async fn code_prospects(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        key: &PublicKey,
    ) -> Result<Option<CodeProspects>>;
}

#[async_trait::async_trait]
impl<DB: Dialect> CodeBindings for SqlStore<DB> {
    async fn code_prospects(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        key: &PublicKey,
    ) -> Result<Option<CodeProspects>> {
        let row = self.row(FindCodeProspects { partner, person, key }.query()).await?;
        row.map(|row| {
            Ok(CodeProspects {
                activation: activation::<DB>(&row)?,
                bound_devices: column::<DB, _>(&row, "bound_devices")?,
                key_is_taken: column::<DB, i64>(&row, "key_is_taken")? == 1,
                failures: failure_run::<DB>(&row)?,
            })
        })
        .transpose()
    }
}

impl<DB: Dialect> SqlStore<DB> {
    /// Opens the binding, if the code is live.
    pub(super) async fn open_by_code(
        &self,
        partner: &PartnerId,
        binding: &NewBinding,
        code: ChallengeId,
        record: &AuditRecord,
    ) -> Result<bool> {
        let now = binding.life.created_at;
        let (transaction, held) = self.begin_and(HoldLiveCode { partner, code, now }).await?;
        if held.is_empty() {
            transaction.rollback().await?;
            return Ok(false);
        }
        let mut rest = Batch::new();
        rest.add(OpenBinding { partner, binding })?;
        commit_with_record(transaction, rest, partner, record).await?;
        Ok(true)
    }

    /// Binds the device and marks the code as used.
    pub(super) async fn accept_by_code(
        &self,
        partner: &PartnerId,
        acceptance: &Acceptance,
        code: ChallengeId,
        record: &AuditRecord,
    ) -> Result<Accepted> {
        let (mut transaction, used) = self.begin_and(UseCode { partner, code, now: acceptance.at }).await?;
        if used.is_empty() || transaction.rows(AcceptBinding { partner, acceptance }).await?.is_empty() {
            transaction.rollback().await?;
            return Ok(Accepted::Overtaken);
        }
        let mut rest = Batch::new();
        rest.add(InsertBoundDevice { partner, acceptance })?;
        rest.add(InsertFirstKey { partner, acceptance })?;
        commit_with_record(transaction, rest, partner, record).await?;
        Ok(Accepted::Bound)
    }

    /// Counts a wrong signature against the code, the binding and the person. Returns the binding's number of them.
    pub(super) async fn count_by_code(
        &self,
        partner: &PartnerId,
        wrong: &WrongSignature,
        code: ChallengeId,
        record: &AuditRecord,
    ) -> Result<Option<i64>> {
        let (mut transaction, failed) = self.begin_and(CountFailure { partner, code, now: wrong.at }).await?;
        let counted = if failed.is_empty() {
            Vec::new()
        } else {
            transaction.rows(CountWrongSignature { partner, wrong }).await?
        };
        let Some(row) = counted.first() else {
            transaction.rollback().await?;
            return Ok(None);
        };
        let counted = column::<DB, i64>(row, "binding_wrong_signatures")?;
        commit_with_record(transaction, Batch::new(), partner, record).await?;
        Ok(Some(counted))
    }
}

struct FindCodeProspects<'a> {
    partner: &'a PartnerId,
    person: &'a PersonId,
    key: &'a PublicKey,
}

impl<DB: Dialect> Statement<DB> for FindCodeProspects<'_> {
    const SQL: &'static str = "select a.code_id
              , a.person_id
              , a.origin
              , a.purpose
              , a.delivery_method
              , a.otp_version
              , a.expires_at
              , a.used_at
              , coalesce(p.bound_devices, 0) as bound_devices
              , p.failures
              , p.last_failure_at
              , cast(case when exists (select 1
                                         from device_key k
                                        where k.partner_id = $1
                                          and k.public_key = $3
                                          and k.deleted_at is null) then 1 else 0 end as bigint) as key_is_taken
           from activation_code a
           left join person p on p.partner_id = $1 and p.person_id = $2
          where a.partner_id = $1
            and a.person_id = $2
          order by a.turn desc
          limit 1";

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        query
            .bind(self.partner.as_str().to_owned())
            .bind(self.person.as_str().to_owned())
            .bind(self.key.as_bytes().to_vec())
    }
}

/// Locks a live code, so that it is not erased before the binding exists: erasure also deletes the binding.
struct HoldLiveCode<'a> {
    partner: &'a PartnerId,
    code: ChallengeId,
    now: DateTime<Utc>,
}

impl<DB: Dialect> Statement<DB> for HoldLiveCode<'_> {
    const SQL: &'static str = "update activation_code
            set failures = failures
          where code_id = $1
            and partner_id = $2
            and used_at is null
            and expires_at > $3
         returning code_id";

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        query.bind(self.code.uuid()).bind(self.partner.as_str().to_owned()).bind(self.now)
    }
}

/// Marks a live code as used.
struct UseCode<'a> {
    partner: &'a PartnerId,
    code: ChallengeId,
    now: DateTime<Utc>,
}

impl<DB: Dialect> Statement<DB> for UseCode<'_> {
    const SQL: &'static str = "update activation_code
            set used_at = $3
          where code_id = $1
            and partner_id = $2
            and used_at is null
            and expires_at > $3
         returning code_id";

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        query.bind(self.code.uuid()).bind(self.partner.as_str().to_owned()).bind(self.now)
    }
}

/// Counts a failure of a live code. The last one that is allowed ends the code.
struct CountFailure<'a> {
    partner: &'a PartnerId,
    code: ChallengeId,
    now: DateTime<Utc>,
}

impl<DB: Dialect> Statement<DB> for CountFailure<'_> {
    const SQL: &'static str = "update activation_code
            set failures = failures + 1
              , expires_at = case when failures + 1 >= $4 then $3 else expires_at end
          where code_id = $1
            and partner_id = $2
            and used_at is null
            and expires_at > $3
         returning code_id";

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        query.bind(self.code.uuid()).bind(self.partner.as_str().to_owned()).bind(self.now).bind(FAILURES_MAX)
    }
}
