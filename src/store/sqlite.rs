//! SQLite's own way: there is one writer at a time, so a write is a few plain statements in one transaction, and statements
//! cost no round trip.

use sqlx::Sqlite;

use super::engine::Engine;
use super::failures::spend_budget;
use super::pool::Pool;
use super::record::write_down;
use super::sms_use::spend_sms;
use super::{Record, Result};
use crate::domain::challenge::{Acceptance, NewBinding, WrongSignature};
use crate::domain::device::DeviceName;
use crate::domain::person::PartnerId;
use crate::domain::sms_limits::SmsSpend;

#[async_trait::async_trait]
impl Engine for Sqlite {
    const BEGIN_WRITE: &'static str = "begin immediate";

    async fn open_binding(
        writer: &Pool<Self>,
        partner: &PartnerId,
        binding: &NewBinding,
        sms: Option<&SmsSpend>,
        record: &Record,
    ) -> Result<bool> {
        let mut transaction = writer.begin_with(Self::BEGIN_WRITE).await?;
        if let Some(sms) = sms
            && !spend_sms::<Self>(&mut transaction, partner, sms).await?
        {
            transaction.rollback().await?;
            return Ok(false);
        }
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
        if opened.rows_affected() == 0 {
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
        record: &Record,
    ) -> Result<bool> {
        let mut transaction = writer.begin_with(Self::BEGIN_WRITE).await?;
        let met = sqlx::query(
            "update person
                set bound_devices = bound_devices + 1
                  , failures = 0
                  , failures_since = null
                  , binding_closed_at = $4
              where partner_id = $1
                and person_id = $2
                and binding_id = $3
                and binding_closed_at is null
                and binding_expires_at > $4
                and binding_wrong_signatures < $5
                and bound_devices < $6
                and (cooling_until is null or cooling_until <= $4)",
        )
        .bind(partner.as_str())
        .bind(acceptance.person_id.as_str())
        .bind(acceptance.id.uuid())
        .bind(acceptance.at)
        .bind(acceptance.wrong_signatures_cap)
        .bind(acceptance.device_limit)
        .execute(&mut *transaction)
        .await?;
        if met.rows_affected() == 0 {
            transaction.rollback().await?;
            return Ok(false);
        }
        sqlx::query(
            "insert into device
                 ( device_id, partner_id, person_id, name, created_at, bound_at, binding_fingerprint, live_keys )
             select binding_id, partner_id, person_id, binding_device_name, binding_created_at, $2, $3, 1
               from person
              where binding_id = $1",
        )
        .bind(acceptance.id.uuid())
        .bind(acceptance.at)
        .bind(&acceptance.fingerprint[..])
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "insert into device_key (key_id, device_id, partner_id, public_key, purpose, created_at, used_at)
             select binding_key_id, binding_id, partner_id, binding_key, binding_key_purpose, binding_created_at, $2
               from person
              where binding_id = $1",
        )
        .bind(acceptance.id.uuid())
        .bind(acceptance.at)
        .execute(&mut *transaction)
        .await?;
        write_down::<Self>(&mut transaction, partner, record).await?;
        transaction.commit().await?;
        Ok(true)
    }

    async fn count_wrong_signature(
        writer: &Pool<Self>,
        partner: &PartnerId,
        wrong: &WrongSignature,
        record: &Record,
    ) -> Result<Option<i64>> {
        let mut transaction = writer.begin_with(Self::BEGIN_WRITE).await?;
        let counted: Option<i64> = sqlx::query_scalar(concat!(
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
        .bind(partner.as_str())
        .bind(wrong.at)
        .bind(wrong.cap)
        .bind(wrong.budget.window_start(wrong.at))
        .bind(wrong.budget.cap)
        .bind(wrong.budget.cooling_until(wrong.at))
        .fetch_optional(&mut *transaction)
        .await?;
        if counted.is_none() {
            transaction.rollback().await?;
            return Ok(None);
        }
        write_down::<Self>(&mut transaction, partner, record).await?;
        transaction.commit().await?;
        Ok(counted)
    }
}
