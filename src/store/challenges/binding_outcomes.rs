//! Outcomes of answers to challenges: accepted, wrong, or the repeat of an accepted one.
//!
//! Each takes effect only if the person's row still allows it: see `bindings`.

use chrono::{DateTime, Utc};

use crate::domain::challenges::{Acceptance, ChallengeId, REPEAT_WINDOW, WrongSignature};
use crate::domain::person::{PartnerId, PersonId};
use crate::store::dialect::Dialect;
use crate::store::error::is_key_taken;
use crate::store::rows::{column, person_id};
use crate::store::sql_store::SqlStore;
use crate::store::{AuditRecord, Result};

/// Meets an open binding, while everything still holds that it was accepted for. Each engine goes on with its condition on
/// the request's claim, and with what else is in the commit.
macro_rules! meet_binding {
    () => {
        concat!(
            "update person
            set bound_devices = bound_devices + 1
              , failures = 0
              , last_failure_at = null
              , binding_closed_at = $26
          where partner_id = $1
            and person_id = $24
            and binding_id = $25
            and binding_closed_at is null
            and binding_expires_at > $26
            and binding_wrong_signatures < $27
            and bound_devices < $28
            and ",
            $crate::store::persons::failures::is_not_paused!("$30", "$31", "$32"),
            "
            and "
        )
    };
}
pub(in crate::store) use meet_binding;

/// Counts a wrong signature against an open binding and its person. Each engine goes on as with `meet_binding!`.
macro_rules! count_against_binding {
    () => {
        concat!(
            "update person
                set binding_wrong_signatures = binding_wrong_signatures + 1
                  , ",
            $crate::store::persons::failures::spend_budget!("$25", "$27", "$28"),
            "where binding_id = $24
               and partner_id = $1
               and binding_closed_at is null
               and binding_expires_at > $25
               and binding_wrong_signatures < $26
               and ",
            $crate::store::persons::failures::is_not_paused!("$28", "$29", "$30"),
            "
               and "
        )
    };
}
pub(in crate::store) use count_against_binding;

/// Binds an acceptance to $24 to $32, behind its record: the same on each engine.
macro_rules! bind_acceptance {
    ($query:expr, $acceptance:expr) => {
        $query
            .bind($acceptance.person_id.as_str())
            .bind($acceptance.id.uuid())
            .bind($acceptance.at)
            .bind($acceptance.rules.wrong_answers_cap)
            .bind($acceptance.device_limit)
            .bind(&$acceptance.fingerprint[..])
            .bind($acceptance.rules.budget.cap)
            .bind($acceptance.rules.budget.pausing_between($acceptance.at).0)
            .bind($acceptance.rules.budget.pausing_between($acceptance.at).1)
    };
}
pub(in crate::store) use bind_acceptance;

/// Binds a wrong signature to $24 to $30, behind its record: the same on each engine.
macro_rules! bind_wrong_signature {
    ($query:expr, $wrong:expr) => {
        $query
            .bind($wrong.id.uuid())
            .bind($wrong.at)
            .bind($wrong.rules.wrong_answers_cap)
            .bind($wrong.rules.budget.continued_since($wrong.at))
            .bind($wrong.rules.budget.cap)
            .bind($wrong.rules.budget.pausing_between($wrong.at).0)
            .bind($wrong.rules.budget.pausing_between($wrong.at).1)
    };
}
pub(in crate::store) use bind_wrong_signature;

/// What became of an acceptance.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Accepted {
    /// The device is bound.
    Bound,
    /// Something has come in between, and nothing was changed: the challenge was met, expired, superseded or closed, the
    /// person has to wait or has as many devices as allowed, or the claim of the request is lost.
    Overtaken,
    /// A bound device already has the key; nothing was changed.
    KeyTaken,
}

/// A challenge that is not open any more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PastBinding {
    /// Whose it was.
    pub person_id: PersonId,
    /// Whether this very signature bound the device within the last minute, and the device is still there.
    pub is_repeat: bool,
}

/// Outcomes of answers to challenges.
#[macro_rules_attribute::apply(port)]
pub trait BindingOutcomes {
    /// Counts a wrong signature against the open attempt and against the person. Gives how many the challenge has had;
    /// `None`, and nothing counted, when something has come in between.
    async fn count_wrong_signature(
        &self,
        partner: &PartnerId,
        wrong: &WrongSignature,
        record: &AuditRecord,
    ) -> Result<Option<i64>>;

    /// Binds the device, unless something has come in between.
    async fn accept_binding(
        &self,
        partner: &PartnerId,
        acceptance: &Acceptance,
        record: &AuditRecord,
    ) -> Result<Accepted>;

    /// What is known of a challenge that is not open: `None` when there is nothing. Without a fingerprint nothing is a
    /// repeat.
    async fn past_binding(
        &self,
        partner: &PartnerId,
        id: ChallengeId,
        fingerprint: Option<[u8; 32]>,
        now: DateTime<Utc>,
    ) -> Result<Option<PastBinding>>;
}

#[async_trait::async_trait]
impl<DB: Dialect> BindingOutcomes for SqlStore<DB> {
    async fn count_wrong_signature(
        &self,
        partner: &PartnerId,
        wrong: &WrongSignature,
        record: &AuditRecord,
    ) -> Result<Option<i64>> {
        DB::count_wrong_signature(self.writer(), partner, wrong, record).await
    }

    async fn accept_binding(
        &self,
        partner: &PartnerId,
        acceptance: &Acceptance,
        record: &AuditRecord,
    ) -> Result<Accepted> {
        match DB::accept_binding(self.writer(), partner, acceptance, record).await {
            Ok(true) => Ok(Accepted::Bound),
            Ok(false) => Ok(Accepted::Overtaken),
            Err(error) if is_key_taken(&error) => Ok(Accepted::KeyTaken),
            Err(error) => Err(error),
        }
    }

    async fn past_binding(
        &self,
        partner: &PartnerId,
        id: ChallengeId,
        fingerprint: Option<[u8; 32]>,
        now: DateTime<Utc>,
    ) -> Result<Option<PastBinding>> {
        // A challenge that was met has a device. The others stay with the person until housekeeping or a newer one comes.
        let query = sqlx::query(
            "select person_id
                  , cast(case when binding_fingerprint = $3
                               and bound_at > $4
                               and state = 'live' then 1 else 0 end as bigint) as repeated
               from device
              where partner_id = $2
                and state in ('live', 'deleted')
                and device_id = $1
             union all
             select person_id, 0
               from person
              where binding_id = $1
                and partner_id = $2
              order by repeated desc
              limit 1",
        )
        .bind(id.uuid())
        .bind(partner.as_str().to_owned())
        .bind(fingerprint.map(|fingerprint| fingerprint.to_vec()))
        .bind(now - REPEAT_WINDOW);
        let Some(row) = self.row(query).await? else { return Ok(None) };
        Ok(Some(PastBinding {
            person_id: person_id(&column::<DB, String>(&row, "person_id")?)?,
            is_repeat: column::<DB, i64>(&row, "repeated")? == 1,
        }))
    }
}
