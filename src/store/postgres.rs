//! Postgres' own way: each hot write is one statement, so one round trip and one commit.
//!
//! All parts of such a statement see the same snapshot, and the update of the person's row decides for all of them: when it
//! finds its conditions broken, also after having waited for another transaction, the rest has nothing to insert.

use sqlx::Postgres;
use sqlx::query::Query;

use super::engine::Engine;
use super::fraud_assessments::yes_or_no;
use super::pool::Pool;
use crate::domain::challenge::{Acceptance, NewBinding};
use crate::domain::device::DeviceName;
use crate::domain::fraud::FraudRecord;
use crate::domain::person::PartnerId;

#[async_trait::async_trait]
impl Engine for Postgres {
    const BEGIN_WRITE: &'static str = "begin";

    async fn open_binding(
        writer: &Pool<Self>,
        partner: &PartnerId,
        binding: &NewBinding,
        fraud: Option<&FraudRecord>,
    ) -> sqlx::Result<bool> {
        // The lock on the number keeps it from being deleted before the attempt is there to be closed with it.
        let query = sqlx::query(
            "with number as (
                 select partner_id, person_id
                   from mobile_number
                  where partner_id = $1
                    and person_id = $2
                    and verified_at is not null
                    for key share
             ), assessed as (
                 insert into fraud_assessment
                     ( assessment_id, partner_id, person_id, device_id, action, state, score, provider_id
                     , latency_ms, allowed, assessed_at )
                 select $11, $1, $2, $3, $12, $13, $14, $15, $16, $17, $18
                  where $11 is not null
             )
             insert into person
                 ( partner_id, person_id, binding_id, binding_key_id, binding_key, binding_key_purpose
                 , binding_device_name, binding_otp_version, binding_created_at, binding_expires_at )
             select partner_id, person_id, $3, $4, $5, $6, $7, $8, $9, $10
               from number
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
             returning binding_id",
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
        .bind(binding.life.expires_at);
        Ok(bind_fraud(query, fraud).fetch_optional(&mut writer.acquire().await?).await?.is_some())
    }

    async fn accept_binding(
        writer: &Pool<Self>,
        partner: &PartnerId,
        acceptance: &Acceptance,
        fraud: Option<&FraudRecord>,
    ) -> sqlx::Result<bool> {
        let query = sqlx::query(
            "with met as (
                 update person
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
                    and (cooling_until is null or cooling_until <= $4)
                 returning *
             ), bound as (
                 insert into device
                     ( device_id, partner_id, person_id, name, created_at, bound_at, binding_fingerprint, live_keys )
                 select binding_id, partner_id, person_id, binding_device_name, binding_created_at, $4, $7, 1
                   from met
             ), assessed as (
                 insert into fraud_assessment
                     ( assessment_id, partner_id, person_id, device_id, action, state, score, provider_id
                     , latency_ms, allowed, assessed_at )
                 select $8, $1, $2, $3, $9, $10, $11, $12, $13, $14, $15
                  where $8 is not null
             )
             insert into device_key (key_id, device_id, partner_id, public_key, purpose, created_at, used_at)
             select binding_key_id, binding_id, partner_id, binding_key, binding_key_purpose, binding_created_at, $4
               from met
             returning key_id",
        )
        .bind(partner.as_str())
        .bind(acceptance.person_id.as_str())
        .bind(acceptance.id.uuid())
        .bind(acceptance.at)
        .bind(acceptance.wrong_signatures_cap)
        .bind(acceptance.device_limit)
        .bind(&acceptance.fingerprint[..]);
        Ok(bind_fraud(query, fraud).fetch_optional(&mut writer.acquire().await?).await?.is_some())
    }
}

/// Binds the columns of an assessment, or as many nulls.
fn bind_fraud<'q>(
    query: Query<'q, Postgres, <Postgres as sqlx::Database>::Arguments>,
    fraud: Option<&'q FraudRecord>,
) -> Query<'q, Postgres, <Postgres as sqlx::Database>::Arguments> {
    query
        .bind(fraud.map(|record| record.id))
        .bind(fraud.map(|record| record.action))
        .bind(fraud.map(|record| record.state))
        .bind(fraud.and_then(|record| record.score))
        .bind(fraud.and_then(|record| record.provider_id.as_deref()))
        .bind(fraud.map(|record| record.latency_ms))
        .bind(fraud.map(|record| yes_or_no(record.allowed)))
        .bind(fraud.map(|record| record.assessed_at))
}
