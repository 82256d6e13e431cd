//! SQLite's own way: there is one writer at a time, so a write is a few plain statements in one transaction.
//!
//! A statement costs no round trip, but each time that the driver is asked for something two threads wake each other, which
//! takes as long as the statement does. So one call takes several statements.

use sqlx::Sqlite;

use super::pool::Pool;
use super::{AuditRecord, Result};
use crate::domain::challenges::NewBinding;
use crate::domain::devices::DeviceName;
use crate::domain::person::PartnerId;
use crate::domain::sms::limits::SmsSpend;
use crate::store::audit::record::write_down;
use crate::store::challenges::number::open_number_code;
use crate::store::dialect::Dialect;
use crate::store::sms::usage::{last_sms_for_person, last_sms_to_number, spend_sms};
use crate::store::statement::Call;

/// Writes something that nothing reads, and makes it last: a file that cannot be written, or a disk that is full, is met by
/// nothing less.
pub(super) const PROVE_WRITABLE: &str = "begin immediate; pragma user_version = 0; commit";

#[async_trait::async_trait]
impl Dialect for Sqlite {
    const CALL: Call = Call::Text;

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
}
