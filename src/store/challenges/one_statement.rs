//! The hot writes as one statement each, for plain Postgres: one round trip and one commit.
//!
//! What each does is said by its form in a transaction (`binding_outcomes`), and the model test holds both together. All parts
//! of such a statement see the same snapshot, and the write to the person's row decides for all of them: when it finds its
//! conditions broken, also after having waited for another transaction, the rest has nothing to insert.
//!
//! The record comes first: $1 to $12 are the event's, $13 to $16 those of the outcome that is kept. None has a part for a
//! fraud assessment: see [`WriteForm`](crate::store::write_form::WriteForm).

use crate::domain::challenges::{Acceptance, WrongSignature};
use crate::domain::person::PartnerId;
use crate::store::audit::events::InsertEvent;
use crate::store::dialect::Dialect;
use crate::store::rows::column;
use crate::store::sql_store::SqlStore;
use crate::store::statement::{Bound, Statement};
use crate::store::{Accepted, AuditRecord, Result};

impl<DB: Dialect> SqlStore<DB> {
    pub(super) async fn accept_in_one_statement(
        &self,
        partner: &PartnerId,
        acceptance: &Acceptance,
        record: &AuditRecord,
    ) -> Result<Accepted> {
        let met = self.write(AcceptBinding { partner, acceptance, record }.query()).await?;
        Ok(if met.is_some() { Accepted::Bound } else { Accepted::Overtaken })
    }

    pub(super) async fn count_in_one_statement(
        &self,
        partner: &PartnerId,
        wrong: &WrongSignature,
        record: &AuditRecord,
    ) -> Result<Option<i64>> {
        let counted = self.write(CountWrongSignature { partner, wrong, record }.query()).await?;
        counted.map(|row| column::<DB, i64>(&row, "binding_wrong_signatures")).transpose()
    }
}

fn bind_record<DB: Dialect>(query: Bound<DB>, partner: &PartnerId, record: &AuditRecord) -> Bound<DB> {
    let kept = record.kept.as_ref();
    InsertEvent { partner, event: &record.event }
        .bind(query)
        .bind(kept.map(|kept| kept.run.scope.to_vec()))
        .bind(kept.map(|kept| kept.run.claim_id))
        .bind(kept.and_then(|kept| kept.outcome.clone()))
        .bind(kept.map(|kept| kept.run.request_id.clone()))
}

struct AcceptBinding<'a> {
    partner: &'a PartnerId,
    acceptance: &'a Acceptance,
    record: &'a AuditRecord,
}

impl<DB: Dialect> Statement<DB> for AcceptBinding<'_> {
    const SQL: &'static str = "with claim as (
             select claim_id
               from idempotent_request
              where partner_id = $1
                and scope = $13
                and claim_id = $14
                for update
         ), met as (
             update person
                set bound_devices = bound_devices + 1
                  , failures = 0
                  , last_failure_at = null
                  , binding_closed_at = $19
              where partner_id = $1
                and person_id = $17
                and binding_id = $18
                and binding_closed_at is null
                and binding_expires_at > $19
                and binding_wrong_signatures < $20
                and bound_devices < $21
                and (failures < $23 or last_failure_at <= $24 or last_failure_at >= $25)
                and ($14 is null or exists (select 1 from claim))
             returning *
         ), bound as (
             insert into device
                 ( partner_id, state, device_id, person_id, name, created_at, bound_at, binding_fingerprint, live_keys )
             select partner_id, 'live', binding_id, person_id, binding_device_name, binding_created_at, $19, $22, 1
               from met
         ), key as (
             insert into device_key
                 ( partner_id, device_id, key_id, public_key, purpose, created_at, used_at )
             select partner_id, binding_id, binding_key_id, binding_key, binding_key_purpose, binding_created_at, $19
               from met
         ), event as (
             insert into audit_pending
                 ( partner_id, event_id, client_id, action, outcome, person_id, person_salt, person_digest
                 , object_id, key_id, occurred_at, country )
             select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12
               from met
         ), kept as (
             update idempotent_request
                set outcome = $15
                  , request_id = $16
               from met
              where idempotent_request.partner_id = $1
                and scope = $13
                and claim_id = $14
         )
         select person_id from met";

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        let Acceptance { id, person_id, fingerprint, at, device_limit, rules } = self.acceptance;
        let (pausing_after, pausing_before) = rules.budget.pausing_between(*at);
        bind_record(query, self.partner, self.record)
            .bind(person_id.as_str().to_owned())
            .bind(id.uuid())
            .bind(*at)
            .bind(rules.wrong_answers_cap)
            .bind(*device_limit)
            .bind(fingerprint.to_vec())
            .bind(rules.budget.cap)
            .bind(pausing_after)
            .bind(pausing_before)
    }
}

struct CountWrongSignature<'a> {
    partner: &'a PartnerId,
    wrong: &'a WrongSignature,
    record: &'a AuditRecord,
}

impl<DB: Dialect> Statement<DB> for CountWrongSignature<'_> {
    const SQL: &'static str = "with claim as (
             select claim_id
               from idempotent_request
              where partner_id = $1
                and scope = $13
                and claim_id = $14
                for update
         ), counted as (
             update person
                set binding_wrong_signatures = binding_wrong_signatures + 1
                  , failures = case when failures < $21 and last_failure_at > $20 then failures + 1 else 1 end
                  , last_failure_at = $18
              where partner_id = $1
                and binding_id = $17
                and binding_closed_at is null
                and binding_expires_at > $18
                and binding_wrong_signatures < $19
                and (failures < $21 or last_failure_at <= $22 or last_failure_at >= $23)
                and ($14 is null or exists (select 1 from claim))
             returning binding_wrong_signatures
         ), event as (
             insert into audit_pending
                 ( partner_id, event_id, client_id, action, outcome, person_id, person_salt, person_digest
                 , object_id, key_id, occurred_at, country )
             select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12
               from counted
         ), kept as (
             update idempotent_request
                set outcome = $15
                  , request_id = $16
               from counted
              where idempotent_request.partner_id = $1
                and scope = $13
                and claim_id = $14
         )
         select binding_wrong_signatures from counted";

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        let WrongSignature { id, at, rules } = *self.wrong;
        let (pausing_after, pausing_before) = rules.budget.pausing_between(at);
        bind_record(query, self.partner, self.record)
            .bind(id.uuid())
            .bind(at)
            .bind(rules.wrong_answers_cap)
            .bind(rules.budget.continued_since(at))
            .bind(rules.budget.cap)
            .bind(pausing_after)
            .bind(pausing_before)
    }
}
