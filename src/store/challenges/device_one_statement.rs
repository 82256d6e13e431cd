//! The hot writes for challenges of bound devices as one statement each, for Postgres without Citus: see `one_statement`.
//!
//! The reference for the acceptance is its transaction form in `device_outcomes`. Opening has the conditions of the service
//! in its `where`; if one does not hold, it writes nothing and the service takes the other way, which says why.

use crate::domain::approvals::Approval;
use crate::domain::audit::AuditEvent;
use crate::domain::challenges::signing_text::TextToSign;
use crate::domain::challenges::{DeviceAcceptance, UnreadDeviceChallenge};
use crate::domain::devices::key::KeyPurpose;
use crate::domain::person::PartnerId;
use crate::store::audit::events::bind_answer;
use crate::store::challenges::device_outcomes::reason;
use crate::store::challenges::one_statement::bind_record;
use crate::store::dialect::Dialect;
use crate::store::rows::column;
use crate::store::sql_store::SqlStore;
use crate::store::statement::{Bound, Statement};
use crate::store::{AuditRecord, Result, Written};

impl<DB: Dialect> SqlStore<DB> {
    pub(super) async fn open_device_challenge_in_one_statement(
        &self,
        partner: &PartnerId,
        challenge: &UnreadDeviceChallenge,
        event: &AuditEvent,
    ) -> Result<Option<TextToSign>> {
        let opened = self.write(OpenUnread { partner, challenge, event }.query()).await?;
        opened.map(|row| Ok(TextToSign::from_stored(column::<DB, _>(&row, "string_to_sign")?))).transpose()
    }

    pub(super) async fn accept_device_answer_in_one_statement(
        &self,
        partner: &PartnerId,
        acceptance: &DeviceAcceptance,
        record: &AuditRecord,
    ) -> Result<Written> {
        let accepted = self.write(AcceptDeviceAnswer { partner, acceptance, record }.query()).await?;
        Ok(Written::if_true(accepted.is_some()))
    }
}

/// The text is composed as by `SigningText::compose`, the digest of the person as by `AuditSubject::new`.
///
/// A later answer is committed durably, and the write-ahead log is flushed in its order: a challenge that was answered is not
/// lost (docs/decisions/0030-device-challenges-in-one-round-trip.md).
struct OpenUnread<'a> {
    partner: &'a PartnerId,
    challenge: &'a UnreadDeviceChallenge,
    event: &'a AuditEvent,
}

impl<DB: Dialect> Statement<DB> for OpenUnread<'_> {
    const SQL: &'static str = "with subject as (
             select d.person_id
                  , (select k.purpose
                       from device_key k
                      where k.partner_id = $1
                        and k.device_id = $8
                        and k.purpose in ($9, $10)
                        and cast(k.deleted_at as text) is null
                      order by case when k.purpose = $9 then 0 else 1 end
                      limit 1) as key_purpose
                  , (select coalesce(max(c.turn), 0)
                       from device_challenge c
                      where c.partner_id = $1
                        and c.device_id = $8) as last_turn
               from device d
              where d.partner_id = $1
                and d.device_id = $8
                and d.state = 'live'
                and (d.failures < $17 or d.last_failure_at <= $18 or d.last_failure_at >= $19)
                and (select count(*)
                       from device_challenge c
                      where c.partner_id = $1
                        and c.device_id = $8
                        and c.closed_at is null
                        and c.expires_at > $6
                        and c.wrong_answers < $16) < $20
         ), opened as (
             insert into device_challenge
                 ( partner_id, device_id, challenge_id, turn, person_id, key_purpose, string_to_sign, approval, expires_at )
             select $1, $8, $5, last_turn + 1, person_id, key_purpose, $11 || person_id || $12 || key_purpose || $13, $14, $15
               from subject
              where key_purpose is not null
             on conflict (partner_id, device_id, turn) do nothing
             returning person_id, string_to_sign
         ), event as (
             insert into audit_pending
                 ( partner_id, event_id, client_id, action, outcome, person_id, person_salt, person_digest
                 , object_id, occurred_at )
             select $1, $2, $3, $4, $21, person_id, $7, sha256($7 || convert_to(person_id, 'UTF8')), $5, $22
               from opened
         )
         select string_to_sign
              , set_config('synchronous_commit', 'off', true) as synchronous_commit
           from opened";

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        let Self { partner, challenge, event } = self;
        let at = challenge.life.created_at;
        let (pausing_after, pausing_before) = challenge.rules.budget.pausing_between(at);
        let (preferred, other) = challenge.purposes;
        query
            .bind(partner.as_str().to_owned())
            .bind(event.id)
            .bind(event.client_id.clone())
            .bind(event.action.clone().into_owned())
            .bind(challenge.id.uuid())
            .bind(at)
            .bind(challenge.person_salt.to_vec())
            .bind(challenge.device_id.uuid())
            .bind(preferred.as_str().to_owned())
            .bind(other.map(KeyPurpose::as_str).map(str::to_owned))
            .bind(challenge.text.head.clone())
            .bind(challenge.text.between.clone())
            .bind(challenge.text.tail.clone())
            .bind(challenge.approval.as_ref().map(Approval::to_json))
            .bind(challenge.life.expires_at)
            .bind(challenge.rules.wrong_answers_cap)
            .bind(challenge.rules.budget.cap)
            .bind(pausing_after)
            .bind(pausing_before)
            .bind(challenge.open_limit)
            .bind(event.outcome.clone().into_owned())
            .bind(event.at)
    }
}

struct AcceptDeviceAnswer<'a> {
    partner: &'a PartnerId,
    acceptance: &'a DeviceAcceptance,
    record: &'a AuditRecord,
}

impl<DB: Dialect> Statement<DB> for AcceptDeviceAnswer<'_> {
    const SQL: &'static str = "with claim as (
             select claim_id
               from idempotent_request
              where partner_id = $1
                and scope = $13
                and claim_id = $14
                for update
         ), answered as (
             update device_challenge
                set closed_at = $18
                  , decision = $19
                  , answered_by = $20
                  , fingerprint = $21
                  , reason = $27
              where challenge_id = $17
                and partner_id = $1
                and closed_at is null
                and expires_at > $18
                and wrong_answers < $22
                and exists (select 1
                              from device d
                             where d.partner_id = $1
                               and d.device_id = $23
                               and d.state = 'live'
                               and (d.failures < $24 or d.last_failure_at <= $25 or d.last_failure_at >= $26))
                and ($14 is null or exists (select 1 from claim))
             returning challenge_id
         ), forgiven as (
             update device
                set failures = 0
                  , last_failure_at = null
               from answered
              where device.partner_id = $1
                and device.device_id = $23
                and device.failures > 0
                and (device.failures < $24 or device.last_failure_at <= $25 or device.last_failure_at >= $26)
         ), used as (
             update device_key
                set used_at = $18
               from answered
              where device_key.partner_id = $1
                and device_key.device_id = $23
                and device_key.key_id = $20
         ), event as (
             insert into audit_pending
                 ( partner_id, event_id, client_id, action, outcome, person_id, person_salt, person_digest
                 , object_id, key_id, occurred_at, country, decision, decline_reason, text_digest, signature_digest )
             select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $28, $29, $30, $31
               from answered
         ), text as (
             insert into approval_text
                 ( event_id, partner_id, person_id, string_to_sign, reason, answered_at )
             select $2, $1, $32, $33, $27, $18
               from answered
              where $33 is not null
         ), kept as (
             update idempotent_request
                set outcome = $15
                  , request_id = $16
                  , person_id = coalesce(idempotent_request.person_id, $6)
               from answered
              where idempotent_request.partner_id = $1
                and scope = $13
                and claim_id = $14
         )
         select challenge_id from answered";

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        let DeviceAcceptance { id, device_id, person_id, answer, text_to_keep, rules } = self.acceptance;
        let (pausing_after, pausing_before) = rules.budget.pausing_between(answer.at);
        let query = bind_record(query, self.partner, self.record)
            .bind(id.uuid())
            .bind(answer.at)
            .bind(answer.decision.as_str().to_owned())
            .bind(answer.key_id.uuid())
            .bind(answer.fingerprint.to_vec())
            .bind(rules.wrong_answers_cap)
            .bind(device_id.uuid())
            .bind(rules.budget.cap)
            .bind(pausing_after)
            .bind(pausing_before)
            .bind(reason(answer));
        bind_answer(query, &self.record.event)
            .bind(person_id.as_str().to_owned())
            .bind(text_to_keep.as_ref().map(|text| text.as_str().to_owned()))
    }
}
