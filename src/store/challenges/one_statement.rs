//! The hot writes (open a binding, accept it, count a wrong signature) as one statement each, for Postgres without
//! Citus: one round trip and one commit. Bindings with an activation code are written by `binding_by_code`.
//!
//! The reference for each is its transaction form in `binding` or `binding_outcomes`; the model test compares the two.
//! All CTEs of such a statement share one snapshot. The update of the person's row decides: if its conditions do not
//! hold, also after a wait for a concurrent transaction, it returns no row and the other CTEs insert nothing.
//!
//! Parameters: $1 to $12 are the audit event, $13 to $16 the outcome for the idempotency key, the others follow. No
//! statement inserts a fraud assessment: see [`WriteForm`](crate::store::write_form::WriteForm).

use crate::domain::challenges::{Acceptance, NewBinding, WrongSignature};
use crate::domain::numbers::MobileNumber;
use crate::domain::person::PartnerId;
use crate::domain::sms::limits::SmsSpend;
use crate::store::audit::events::InsertEvent;
use crate::store::dialect::Dialect;
use crate::store::rows::column;
use crate::store::sql_store::SqlStore;
use crate::store::statement::{Bound, Statement};
use crate::store::{Accepted, AuditRecord, Result, StoreError};

impl<DB: Dialect> SqlStore<DB> {
    pub(super) async fn open_in_one_statement(
        &self,
        partner: &PartnerId,
        binding: &NewBinding,
        number: &MobileNumber,
        sms: Option<&SmsSpend>,
        record: &AuditRecord,
    ) -> Result<bool> {
        match self.write(OpenBinding { partner, binding, number, sms, record }.query()).await {
            Ok(opened) => Ok(opened.is_some()),
            Err(error) if is_overtaken(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn accept_in_one_statement(
        &self,
        partner: &PartnerId,
        acceptance: &Acceptance,
        record: &AuditRecord,
    ) -> Result<Accepted> {
        let accepted = self.write(AcceptBinding { partner, acceptance, record }.query()).await?;
        Ok(if accepted.is_some() { Accepted::Bound } else { Accepted::Overtaken })
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

/// Whether a statement was rolled back because a condition of one of its CTEs did not hold. It signals this by a cast
/// that fails.
fn is_overtaken(error: &StoreError) -> bool {
    const INVALID_TEXT_REPRESENTATION: &str = "22P02";
    error.database_error().is_some_and(|error| {
        error.code().is_some_and(|code| code == INVALID_TEXT_REPRESENTATION)
            && error.message().contains("overtaken by another request: nothing was changed")
    })
}

/// Binds $1 to $16.
pub(super) fn bind_record<DB: Dialect>(query: Bound<DB>, partner: &PartnerId, record: &AuditRecord) -> Bound<DB> {
    let to_store = record.to_store.as_ref();
    InsertEvent { partner, event: &record.event }
        .bind_without_answer(query)
        .bind(to_store.map(|to_store| to_store.run.scope.to_vec()))
        .bind(to_store.map(|to_store| to_store.run.claim_id))
        .bind(to_store.and_then(|to_store| to_store.outcome.clone()))
        .bind(to_store.map(|to_store| to_store.run.request_id.clone()))
}

/// The lock on the number prevents its deletion before the binding exists: deleting a number also closes its binding.
/// The partner's row is locked last. If the partner's SMS rate is exceeded, Postgres would still commit the other CTEs;
/// a failing cast therefore rolls back the statement. Postgres logs that error.
struct OpenBinding<'a> {
    partner: &'a PartnerId,
    binding: &'a NewBinding,
    number: &'a MobileNumber,
    sms: Option<&'a SmsSpend>,
    record: &'a AuditRecord,
}

impl<DB: Dialect> Statement<DB> for OpenBinding<'_> {
    const SQL: &'static str = "with claim as (
             select claim_id
               from idempotent_request
              where partner_id = $1
                and scope = $13
                and claim_id = $14
                for update
         ), number as (
             select partner_id, person_id
               from mobile_number
              where partner_id = $1
                and person_id = $17
                and number = $18
                and verified_at is not null
                and ($14 is null or exists (select 1 from claim))
                for key share
         ), last_to_number as (
             select number_turn, sent_at
               from sms_sent
              where partner_id = $1
                and number = $18
                and $27 is not null
                and exists (select from number)
              order by number_turn desc
              limit 1
                for key share skip locked
         ), last_for_person as (
             select person_turn, sent_at
               from sms_sent
              where partner_id = $1
                and person_id = $17
                and $27 is not null
                and exists (select from number)
              order by person_turn desc
              limit 1
                for key share skip locked
         ), counted as (
             insert into sms_sent (partner_id, message_id, number, number_turn, person_id, person_turn, sent_at)
             select partner_id, $19, $18, $31 + 1, $17, $33 + 1, $27
               from number
              where $27 is not null
                and coalesce((select number_turn from last_to_number), 0) = $31
                and coalesce((select sent_at from last_to_number), 0) = $32
                and coalesce((select person_turn from last_for_person), 0) = $33
                and coalesce((select sent_at from last_for_person), 0) = $34
             on conflict do nothing
             returning partner_id
         ), opened as (
             insert into person
                 ( partner_id, person_id, binding_id, binding_key_id, binding_key, binding_key_purpose
                 , binding_device_name, binding_otp_version, binding_created_at, binding_expires_at )
             select partner_id, person_id, $19, $20, $21, $22, $23, $24, $25, $26
               from number
              where $27 is null
                 or exists (select from counted)
             on conflict (partner_id, person_id) do update
                set binding_id = excluded.binding_id
                  , binding_key_id = excluded.binding_key_id
                  , binding_key = excluded.binding_key
                  , binding_key_purpose = excluded.binding_key_purpose
                  , binding_device_name = excluded.binding_device_name
                  , binding_otp_version = excluded.binding_otp_version
                  , binding_activation_id = null
                  , binding_created_at = excluded.binding_created_at
                  , binding_expires_at = excluded.binding_expires_at
                  , binding_wrong_signatures = 0
                  , binding_closed_at = null
             returning partner_id
         ), rate as (
             insert into sms_partner_rate as rate (partner_id, ahead_to)
             select partner_id, $27 + $28
               from counted
             on conflict (partner_id) do update
                set ahead_to = case when rate.ahead_to > $27 and rate.ahead_to < $30 then rate.ahead_to else $27 end + $28
              where case when rate.ahead_to > $27 and rate.ahead_to < $30 then rate.ahead_to else $27 end + $28 - $27 <= $29
             returning partner_id
         ), event as (
             insert into audit_pending
                 ( partner_id, event_id, client_id, action, outcome, person_id, person_salt, person_digest
                 , object_id, key_id, occurred_at, country )
             select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12
               from opened
         ), stored as (
             update idempotent_request
                set outcome = $15
                  , request_id = $16
                  , person_id = coalesce(idempotent_request.person_id, $6)
               from opened
              where idempotent_request.partner_id = $1
                and scope = $13
                and claim_id = $14
         )
         select cast(case when $27 is null or exists (select from rate) then '1'
                          else 'overtaken by another request: nothing was changed' end as bigint) as opened
           from opened";

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        let Self { partner, binding, number, sms, record } = self;
        bind_record(query, partner, record)
            .bind(binding.person_id.as_str().to_owned())
            .bind(number.as_e164().to_owned())
            .bind(binding.id.uuid())
            .bind(binding.key_id.uuid())
            .bind(binding.public_key.as_bytes().to_vec())
            .bind(binding.key_purpose.as_str().to_owned())
            .bind(binding.name.as_ref().map(|name| name.as_str().to_owned()))
            .bind(i64::from(binding.otp_version))
            .bind(binding.life.created_at)
            .bind(binding.life.expires_at)
            .bind(sms.map(|sms| sms.at.timestamp_micros()))
            .bind(sms.map(|sms| sms.interval))
            .bind(sms.map(|sms| sms.horizon))
            .bind(sms.map(SmsSpend::too_far_ahead))
            .bind(sms.map(|sms| sms.last_to_number.turn))
            .bind(sms.map(|sms| sms.last_to_number.sent_at))
            .bind(sms.map(|sms| sms.last_for_person.turn))
            .bind(sms.map(|sms| sms.last_for_person.sent_at))
    }
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
         ), accepted as (
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
               from accepted
         ), key as (
             insert into device_key
                 ( partner_id, device_id, key_id, public_key, purpose, created_at, used_at )
             select partner_id, binding_id, binding_key_id, binding_key, binding_key_purpose, binding_created_at, $19
               from accepted
         ), event as (
             insert into audit_pending
                 ( partner_id, event_id, client_id, action, outcome, person_id, person_salt, person_digest
                 , object_id, key_id, occurred_at, country )
             select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12
               from accepted
         ), stored as (
             update idempotent_request
                set outcome = $15
                  , request_id = $16
                  , person_id = coalesce(idempotent_request.person_id, $6)
               from accepted
              where idempotent_request.partner_id = $1
                and scope = $13
                and claim_id = $14
         )
         select person_id from accepted";

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        let Acceptance { id, person_id, fingerprint, at, device_limit, rules, activation: _ } = self.acceptance;
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
         ), stored as (
             update idempotent_request
                set outcome = $15
                  , request_id = $16
                  , person_id = coalesce(idempotent_request.person_id, $6)
               from counted
              where idempotent_request.partner_id = $1
                and scope = $13
                and claim_id = $14
         )
         select binding_wrong_signatures from counted";

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        let WrongSignature { id, at, rules, activation: _ } = *self.wrong;
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
