//! SQLite's own way: there is one writer at a time, so a write is a few plain statements in one transaction.
//!
//! A statement costs no round trip, but each time that the driver is asked for something two threads wake each other, which
//! takes as long as the statement does. So a verdict is one text, its transaction included: each statement in it goes on
//! only if the one before changed a row, and the rest of the record only if its event is there.
//!
//! The record takes the parameters $1 to $23, as on Postgres; what is a verdict's own begins at $24.

use sqlx::Sqlite;

use super::pool::Pool;
use super::rows::column;
use super::{AuditRecord, Result};
use crate::domain::challenges::{Acceptance, NewBinding, WrongSignature};
use crate::domain::devices::DeviceName;
use crate::domain::person::PartnerId;
use crate::domain::sms::limits::SmsSpend;
use crate::store::audit::record::{bind_record, write_down};
use crate::store::challenges::binding_outcomes::{
    bind_acceptance, bind_wrong_signature, count_against_binding, meet_binding,
};
use crate::store::challenges::number::open_number_code;
use crate::store::dialect::Dialect;
use crate::store::sms::usage::{last_sms_for_person, last_sms_to_number, spend_sms};

/// Writes something that nothing reads, and makes it last: a file that cannot be written, or a disk that is full, is met by
/// nothing less.
pub(super) const PROVE_WRITABLE: &str = "begin immediate; pragma user_version = 0; commit";

/// True while the request's claim, if it has one, is in force.
macro_rules! claim_holds {
    () => {
        "($20 is null or exists (select 1
                                  from idempotent_request
                                 where partner_id = $1
                                   and scope = $21
                                   and claim_id = $20))"
    };
}

/// Writes the record down if the statement before has changed a row. All of it is there when the event is.
macro_rules! record_after_a_change {
    () => {
        "
        insert into audit_pending
            ( partner_id, event_id, client_id, action, outcome, person_id, person_salt, person_digest
            , object_id, key_id, occurred_at )
        select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11
         where changes() = 1;

        insert into fraud_assessment
            ( assessment_id, partner_id, person_id, device_id, action, state, score, provider_id
            , latency_ms, allowed, assessed_at )
        select $12, partner_id, person_id, object_id, $13, $14, $15, $16, $17, $18, $19
          from audit_pending
         where partner_id = $1
           and event_id = $2
           and $12 is not null;

        update idempotent_request
           set outcome = $22
             , request_id = $23
         where partner_id = $1
           and scope = $21
           and claim_id = $20
           and exists (select 1 from audit_pending where partner_id = $1 and event_id = $2);

        "
    };
}

#[async_trait::async_trait]
impl Dialect for Sqlite {
    const BEGIN_WRITE: &'static str = "begin immediate";

    // It follows an index that fits in any case.
    const BEGIN_IN_ORDER: &'static str = "begin";

    const PROVE_WRITABLE: Option<&'static str> = Some(PROVE_WRITABLE);

    // There is one writer at a time.
    const OPEN_NUMBER_CODE: &'static str = open_number_code!("");
    const LAST_SMS_TO_NUMBER: &'static str = last_sms_to_number!("");
    const LAST_SMS_FOR_PERSON: &'static str = last_sms_for_person!("");

    async fn open_binding(
        writer: &Pool<Self>,
        partner: &PartnerId,
        binding: &NewBinding,
        sms: Option<&SmsSpend>,
        record: &AuditRecord,
    ) -> Result<bool> {
        let mut transaction = writer.begin_with(Self::BEGIN_WRITE).await?;
        let opened = sqlx::query(
            "insert into person
                 ( partner_id, person_id, binding_id, binding_key_id, binding_key, binding_key_purpose
                 , binding_device_name, binding_otp_version, binding_created_at, binding_expires_at )
             select partner_id, person_id, $3, $4, $5, $6, $7, $8, $9, $10
               from mobile_number
              where partner_id = $1
                and person_id = $2
                and number = $11
                and verified_at is not null
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
                  , binding_closed_at = null",
        )
        .bind(partner.as_str())
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
        .execute(&mut *transaction)
        .await?;
        let message = (binding.id.uuid(), &binding.number, &binding.person_id);
        let goes_on = match sms {
            _ if opened.rows_affected() == 0 => false,
            Some(sms) => spend_sms::<Self>(&mut transaction, partner, message, sms).await?,
            None => true,
        };
        if !goes_on {
            transaction.rollback().await?;
            return Ok(false);
        }
        write_down::<Self>(&mut transaction, partner, record).await?;
        transaction.commit().await?;
        Ok(true)
    }

    async fn accept_binding(
        writer: &Pool<Self>,
        partner: &PartnerId,
        acceptance: &Acceptance,
        record: &AuditRecord,
    ) -> Result<bool> {
        let statement = concat!(
            "begin immediate;

             ",
            meet_binding!(),
            claim_holds!(),
            "
             returning partner_id;

             insert into device
                 ( device_id, partner_id, state, person_id, name, created_at, bound_at, binding_fingerprint, live_keys )
             select binding_id, partner_id, 'live', person_id, binding_device_name, binding_created_at, $26, $29, 1
               from person
              where partner_id = $1
                and person_id = $24
                and changes() = 1;

             insert into device_key (key_id, device_id, partner_id, public_key, purpose, created_at, used_at)
             select binding_key_id, binding_id, partner_id, binding_key, binding_key_purpose, binding_created_at, $26
               from person
              where partner_id = $1
                and person_id = $24
                and changes() = 1;
             ",
            record_after_a_change!(),
            "commit"
        );
        let query = bind_acceptance!(bind_record(sqlx::query(statement), partner, record), acceptance);
        Ok(!writer.transact(query).await?.is_empty())
    }

    async fn count_wrong_signature(
        writer: &Pool<Self>,
        partner: &PartnerId,
        wrong: &WrongSignature,
        record: &AuditRecord,
    ) -> Result<Option<i64>> {
        let statement = concat!(
            "begin immediate;

             ",
            count_against_binding!(),
            claim_holds!(),
            "
             returning binding_wrong_signatures;
             ",
            record_after_a_change!(),
            "commit"
        );
        let query = bind_wrong_signature!(bind_record(sqlx::query(statement), partner, record), wrong);
        let rows = writer.transact(query).await?;
        rows.first().map(|row| column::<Self, i64>(row, "binding_wrong_signatures")).transpose()
    }
}
