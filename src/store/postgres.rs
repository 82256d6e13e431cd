//! Postgres' own way: each hot write is one statement, so one round trip and one commit.
//!
//! All parts of such a statement see the same snapshot, and the write to the person's row decides for all of them: when it
//! finds its conditions broken, also after having waited for another transaction, the rest has nothing to insert. A later
//! part with conditions of its own cannot take the earlier ones back, since Postgres commits whatever parts matched; such a
//! statement ends with an error, which undoes all of it, and which is told from others by its text.
//!
//! The record takes the parameters $1 to $23, whatever the statement; what is its own begins at $24.

use sqlx::Postgres;

use super::pool::Pool;
use super::{AuditRecord, Result};
use crate::domain::challenges::NewBinding;
use crate::domain::devices::DeviceName;
use crate::domain::person::PartnerId;
use crate::domain::sms::limits::SmsSpend;
use crate::store::audit::record::bind_record;
use crate::store::challenges::number::open_number_code;
use crate::store::dialect::Dialect;
use crate::store::sms::usage::{ahead_of_rate, last_sms_for_person, last_sms_to_number};
use crate::store::statement::Call;

/// What a statement says that is undone because one of its parts found its conditions broken. Postgres logs it as an error.
macro_rules! overtaken {
    () => {
        "overtaken by another request: nothing was changed"
    };
}

/// Whether a statement was undone for that reason.
fn is_overtaken(error: &sqlx::Error) -> bool {
    const INVALID_TEXT_REPRESENTATION: &str = "22P02";
    error.as_database_error().is_some_and(|error| {
        error.code().is_some_and(|code| code == INVALID_TEXT_REPRESENTATION) && error.message().contains(overtaken!())
    })
}

/// Holds the claim of the request, if it has one, so that nobody takes it over before the commit.
macro_rules! claim {
    () => {
        "claim as (
             select claim_id
               from idempotent_request
              where partner_id = $1
                and scope = $21
                and claim_id = $20
                for update
         )"
    };
}

/// True while the request's claim, if it has one, is in force.
macro_rules! claim_holds {
    () => {
        "($20 is null or exists (select 1 from claim))"
    };
}

/// Writes the record down if the named part of the statement has a row.
macro_rules! record_with {
    ($change:literal) => {
        concat!(
            "event as (
                 insert into audit_pending
                     ( partner_id, event_id, client_id, action, outcome, person_id, person_salt, person_digest
                     , object_id, key_id, occurred_at )
                 select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11
                   from ",
            $change,
            "
             ), assessed as (
                 insert into fraud_assessment
                     ( assessment_id, partner_id, person_id, device_id, action, state, score, provider_id
                     , latency_ms, allowed, assessed_at )
                 select $12, $1, $6, $9, $13, $14, $15, $16, $17, $18, $19
                   from ",
            $change,
            "
                  where $12 is not null
             ), kept as (
                 update idempotent_request
                    set outcome = $22
                      , request_id = $23
                   from ",
            $change,
            "
                  where idempotent_request.partner_id = $1
                    and scope = $21
                    and claim_id = $20
             )"
        )
    };
}

/// The lock on the number keeps it from being deleted before the attempt is there to be closed with it.
const OPEN_BINDING: &str = concat!(
    "with ",
    claim!(),
    ", number as (
                 select partner_id, person_id
                   from mobile_number
                  where partner_id = $1
                    and person_id = $24
                    and number = $33
                    and verified_at is not null
                    and ",
    claim_holds!(),
    "
                    for key share
             ), last_to_number as (
                 select number_turn, sent_at
                   from sms_sent
                  where partner_id = $1
                    and number = $33
                    and $34 is not null
                    and exists (select from number)
                  order by number_turn desc
                  limit 1
                    for key share skip locked
             ), last_for_person as (
                 select person_turn, sent_at
                   from sms_sent
                  where partner_id = $1
                    and person_id = $24
                    and $34 is not null
                    and exists (select from number)
                  order by person_turn desc
                  limit 1
                    for key share skip locked
             ), counted as (
                 insert into sms_sent (partner_id, message_id, number, number_turn, person_id, person_turn, sent_at)
                 select partner_id, $25, $33, $38 + 1, $24, $40 + 1, $34
                   from number
                  where $34 is not null
                    and coalesce((select number_turn from last_to_number), 0) = $38
                    and coalesce((select sent_at from last_to_number), 0) = $39
                    and coalesce((select person_turn from last_for_person), 0) = $40
                    and coalesce((select sent_at from last_for_person), 0) = $41
                 on conflict do nothing
                 returning partner_id
             ), opened as (
                 insert into person
                     ( partner_id, person_id, binding_id, binding_key_id, binding_key, binding_key_purpose
                     , binding_device_name, binding_otp_version, binding_created_at, binding_expires_at )
                 select partner_id, person_id, $25, $26, $27, $28, $29, $30, $31, $32
                   from number
                  where $34 is null
                     or exists (select from counted)
                 on conflict (partner_id, person_id) do update
                    set binding_id = excluded.binding_id
                      , binding_key_id = excluded.binding_key_id
                      , binding_key = excluded.binding_key
                      , binding_key_purpose = excluded.binding_key_purpose
                      , binding_device_name = excluded.binding_device_name
                      , binding_otp_version = excluded.binding_otp_version
                      , binding_created_at = excluded.binding_created_at
                      , binding_expires_at = excluded.binding_expires_at
                      , binding_wrong_signatures = 0
                      , binding_closed_at = null
                 returning partner_id
             ), rate as (
                 insert into sms_partner_rate as rate (partner_id, ahead_to)
                 select partner_id, $34 + $35
                   from counted
                 on conflict (partner_id) do update
                    set ahead_to = ",
    ahead_of_rate!("rate.ahead_to", "$34", "$37"),
    " + $35
                  where ",
    ahead_of_rate!("rate.ahead_to", "$34", "$37"),
    " + $35 - $34 <= $36
                 returning partner_id
             ), ",
    record_with!("opened"),
    // The partner's row is taken last, here. If the partner is at its rate, what has happened is undone by the error.
    " select cast(case when $34 is null or exists (select from rate) then '1'
                               else '",
    overtaken!(),
    "' end as bigint) as opened
                from opened"
);

#[async_trait::async_trait]
impl Dialect for Postgres {
    const CALL: Call = Call::Statement;

    const BEGIN_WRITE: &'static str = "begin";

    // Of a partner that its statistics do not know it would sort all rows to find the first ones.
    const BEGIN_IN_ORDER: &'static str = "begin; set local enable_sort = off; set local enable_bitmapscan = off";

    // While a primary is away, reads go on from a standby, and no replica can do better.
    const PROVE_WRITABLE: Option<&'static str> = None;

    const OPEN_NUMBER_CODE: &'static str = open_number_code!("for key share");

    // The lock keeps an erasure and housekeeping from removing the row. A row that one of them has is passed over and not waited
    // for: then it is not the last one any more, and no deadlock comes of two such rows.
    const LAST_SMS_TO_NUMBER: &'static str = last_sms_to_number!("for key share skip locked");
    const LAST_SMS_FOR_PERSON: &'static str = last_sms_for_person!("for key share skip locked");

    async fn open_binding(
        writer: &Pool<Self>,
        partner: &PartnerId,
        binding: &NewBinding,
        sms: Option<&SmsSpend>,
        record: &AuditRecord,
    ) -> Result<bool> {
        let query = bind_record(sqlx::query(OPEN_BINDING), partner, record)
            .bind(binding.person_id.as_str())
            .bind(binding.id.uuid())
            .bind(binding.key_id.uuid())
            .bind(&binding.public_key.as_bytes()[..])
            .bind(binding.key_purpose.as_str())
            .bind(binding.name.as_ref().map(DeviceName::as_str))
            .bind(i64::from(binding.otp_version))
            .bind(binding.life.created_at)
            .bind(binding.life.expires_at)
            .bind(binding.number.as_e164())
            .bind(sms.map(|sms| sms.at.timestamp_micros()))
            .bind(sms.map(|sms| sms.interval))
            .bind(sms.map(|sms| sms.horizon))
            .bind(sms.map(SmsSpend::too_far_ahead))
            .bind(sms.map(|sms| sms.last_to_number.turn))
            .bind(sms.map(|sms| sms.last_to_number.sent_at))
            .bind(sms.map(|sms| sms.last_for_person.turn))
            .bind(sms.map(|sms| sms.last_for_person.sent_at));
        match writer.one(query).await {
            Ok(row) => Ok(row.is_some()),
            Err(error) if is_overtaken(&error) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
