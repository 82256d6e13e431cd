//! Outcomes of answers to bindings: accepted, wrong, or the repetition of an accepted one.
//!
//! Each write takes effect only if the person's row still allows it: see `binding`.

use chrono::{DateTime, Utc};
use sqlx::Sqlite;

use crate::domain::challenges::{Acceptance, ChallengeId, REPEAT_WINDOW, WrongSignature};
use crate::domain::person::{PartnerId, PersonId};
use crate::store::audit::events::InsertEvent;
use crate::store::audit::record::commit_with_record;
use crate::store::challenges::binding::FindBinding;
use crate::store::dialect::Dialect;
use crate::store::error::is_key_taken;
use crate::store::rows::{column, person_id};
use crate::store::sql_store::SqlStore;
use crate::store::statement::{Batch, Bound, Statement};
use crate::store::write_form::WriteForm;
use crate::store::{AuditRecord, Result, Written};

/// The result of accepting an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Accepted {
    /// The device is bound.
    Bound,
    /// Nothing was changed, because another request was first: the challenge was answered, expired, superseded or
    /// closed, the person is cooling off or at the device limit, or the request's idempotency claim is lost.
    Overtaken,
    /// Nothing was changed, because a bound device already has this key.
    KeyTaken,
}

/// A challenge that is over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PastBinding {
    /// The person whose challenge it was.
    pub person_id: PersonId,
    /// Whether the same signature bound the device within [`REPEAT_WINDOW`], and the device is still bound.
    pub is_repeat: bool,
}

/// Outcomes of answers to bindings.
#[macro_rules_attribute::apply(port)]
pub trait BindingOutcomes {
    /// Counts a wrong signature against the open binding and the person. Returns the binding's number of wrong
    /// signatures.
    async fn count_wrong_signature(
        &self,
        partner: &PartnerId,
        wrong: &WrongSignature,
        record: &AuditRecord,
    ) -> Result<Written<i64>>;

    /// Binds the device, if the preconditions still hold.
    async fn accept_binding(
        &self,
        partner: &PartnerId,
        acceptance: &Acceptance,
        record: &AuditRecord,
    ) -> Result<Accepted>;

    /// Reads a challenge that is over. `None` when it is unknown. Without a fingerprint, `is_repeat` is false.
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
    ) -> Result<Written<i64>> {
        let counted = match (wrong.activation, self.write_form().of(record)) {
            (Some(code), _) => self.count_by_code(partner, wrong, code, record).await,
            (None, WriteForm::OneStatement) => self.count_in_one_statement(partner, wrong, record).await,
            (None, WriteForm::Transaction) => self.count_in_transaction(partner, wrong, record).await,
        };
        Ok(Written::if_some(counted?))
    }

    async fn accept_binding(
        &self,
        partner: &PartnerId,
        acceptance: &Acceptance,
        record: &AuditRecord,
    ) -> Result<Accepted> {
        let accepted = match (acceptance.activation, self.write_form().of(record)) {
            (Some(code), _) => self.accept_by_code(partner, acceptance, code, record).await,
            (None, WriteForm::OneStatement) => self.accept_in_one_statement(partner, acceptance, record).await,
            (None, WriteForm::Transaction) => self.accept_in_transaction(partner, acceptance, record).await,
        };
        match accepted {
            Err(error) if is_key_taken(&error) => Ok(Accepted::KeyTaken),
            accepted => accepted,
        }
    }

    async fn past_binding(
        &self,
        partner: &PartnerId,
        id: ChallengeId,
        fingerprint: Option<[u8; 32]>,
        now: DateTime<Utc>,
    ) -> Result<Option<PastBinding>> {
        // An answered binding has become a device. Any other stays in the person's row until housekeeping or a newer
        // binding overwrites it.
        let query = sqlx::query(
            "select person_id
                  , cast(case when binding_fingerprint = $3
                               and bound_at > $4
                               and state = 'live' then 1 else 0 end as bigint) as repeated
               from device
              where partner_id = $2
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

/// The statements with which SQLite accepts an answer, in their order. `benches/run` measures them without the service.
#[doc(hidden)]
#[must_use]
pub fn accepting_statements() -> [&'static str; 5] {
    fn sql<S: Statement<Sqlite>>() -> &'static str {
        S::SQL
    }
    [
        sql::<FindBinding>(),
        sql::<AcceptBinding>(),
        sql::<InsertBoundDevice>(),
        sql::<InsertFirstKey>(),
        sql::<InsertEvent>(),
    ]
}

/// The writes as transactions of plain statements: the reference for `one_statement`.
impl<DB: Dialect> SqlStore<DB> {
    async fn count_in_transaction(
        &self,
        partner: &PartnerId,
        wrong: &WrongSignature,
        record: &AuditRecord,
    ) -> Result<Option<i64>> {
        let (transaction, counted) = self.begin_and(CountWrongSignature { partner, wrong }).await?;
        let Some(row) = counted.first() else {
            transaction.rollback().await?;
            return Ok(None);
        };
        let counted = column::<DB, i64>(row, "binding_wrong_signatures")?;
        commit_with_record(transaction, Batch::new(), partner, record).await?;
        Ok(Some(counted))
    }

    async fn accept_in_transaction(
        &self,
        partner: &PartnerId,
        acceptance: &Acceptance,
        record: &AuditRecord,
    ) -> Result<Accepted> {
        let (transaction, accepted) = self.begin_and(AcceptBinding { partner, acceptance }).await?;
        if accepted.is_empty() {
            transaction.rollback().await?;
            return Ok(Accepted::Overtaken);
        }
        let mut rest = Batch::new();
        rest.add(InsertBoundDevice { partner, acceptance })?;
        rest.add(InsertFirstKey { partner, acceptance })?;
        commit_with_record(transaction, rest, partner, record).await?;
        Ok(Accepted::Bound)
    }
}

/// Accepts the answer to an open binding, if every condition that the answer was judged by still holds.
pub(super) struct AcceptBinding<'a> {
    pub(super) partner: &'a PartnerId,
    pub(super) acceptance: &'a Acceptance,
}

impl<DB: Dialect> Statement<DB> for AcceptBinding<'_> {
    const SQL: &'static str = "update person
            set bound_devices = bound_devices + 1
              , failures = 0
              , last_failure_at = null
              , binding_closed_at = $4
          where partner_id = $1
            and person_id = $2
            and binding_id = $3
            and binding_closed_at is null
            and binding_expires_at > $4
            and binding_wrong_signatures < $5
            and bound_devices < $6
            and (failures < $7 or last_failure_at <= $8 or last_failure_at >= $9)
         returning person_id";

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        let Acceptance { id, person_id, at, device_limit, rules, .. } = self.acceptance;
        let (pausing_after, pausing_before) = rules.budget.pausing_between(*at);
        query
            .bind(self.partner.as_str().to_owned())
            .bind(person_id.as_str().to_owned())
            .bind(id.uuid())
            .bind(*at)
            .bind(rules.wrong_answers_cap)
            .bind(*device_limit)
            .bind(rules.budget.cap)
            .bind(pausing_after)
            .bind(pausing_before)
    }
}

/// Inserts the device of the binding that was just answered.
pub(super) struct InsertBoundDevice<'a> {
    pub(super) partner: &'a PartnerId,
    pub(super) acceptance: &'a Acceptance,
}

impl<DB: Dialect> Statement<DB> for InsertBoundDevice<'_> {
    const SQL: &'static str = "insert into device
             ( partner_id, state, device_id, person_id, name, created_at, bound_at, binding_fingerprint, live_keys )
         select partner_id, 'live', binding_id, person_id, binding_device_name, binding_created_at, $3, $4, 1
           from person
          where partner_id = $1
            and person_id = $2";

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        query
            .bind(self.partner.as_str().to_owned())
            .bind(self.acceptance.person_id.as_str().to_owned())
            .bind(self.acceptance.at)
            .bind(self.acceptance.fingerprint.to_vec())
    }
}

/// Inserts that device's key.
pub(super) struct InsertFirstKey<'a> {
    pub(super) partner: &'a PartnerId,
    pub(super) acceptance: &'a Acceptance,
}

impl<DB: Dialect> Statement<DB> for InsertFirstKey<'_> {
    const SQL: &'static str = "insert into device_key
             ( partner_id, device_id, key_id, public_key, purpose, created_at, used_at )
         select partner_id, binding_id, binding_key_id, binding_key, binding_key_purpose, binding_created_at, $3
           from person
          where partner_id = $1
            and person_id = $2";

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        query
            .bind(self.partner.as_str().to_owned())
            .bind(self.acceptance.person_id.as_str().to_owned())
            .bind(self.acceptance.at)
    }
}

/// Counts a wrong signature against an open binding and its person.
pub(super) struct CountWrongSignature<'a> {
    pub(super) partner: &'a PartnerId,
    pub(super) wrong: &'a WrongSignature,
}

impl<DB: Dialect> Statement<DB> for CountWrongSignature<'_> {
    const SQL: &'static str = "update person
            set binding_wrong_signatures = binding_wrong_signatures + 1
              , failures = case when failures < $6 and last_failure_at > $5 then failures + 1 else 1 end
              , last_failure_at = $3
          where partner_id = $1
            and binding_id = $2
            and binding_closed_at is null
            and binding_expires_at > $3
            and binding_wrong_signatures < $4
            and (failures < $6 or last_failure_at <= $7 or last_failure_at >= $8)
         returning binding_wrong_signatures";

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        let WrongSignature { id, at, rules, activation: _ } = *self.wrong;
        let (pausing_after, pausing_before) = rules.budget.pausing_between(at);
        query
            .bind(self.partner.as_str().to_owned())
            .bind(id.uuid())
            .bind(at)
            .bind(rules.wrong_answers_cap)
            .bind(rules.budget.continued_since(at))
            .bind(rules.budget.cap)
            .bind(pausing_after)
            .bind(pausing_before)
    }
}
