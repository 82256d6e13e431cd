//! What was sent of late, for the limits: read, written back under a condition, taken back.

use chrono::{DateTime, Utc};

use super::engine::Engine;
use super::pool::Transaction;
use super::rows::column;
use super::{Result, StoreError};
use crate::domain::person::PartnerId;
use crate::domain::sms_limits::{SmsHistory, SmsSpend, SmsUse};

/// Reads what a statement that joins the three rows gives.
pub(super) fn sms_use<DB: Engine>(row: &DB::Row) -> Result<SmsUse> {
    let history = |version: &'static str, sent_at: &'static str| -> Result<SmsHistory> {
        let Some(number) = column::<DB, Option<i64>>(row, version)? else { return Ok(SmsHistory::default()) };
        let text = column::<DB, Option<String>>(row, sent_at)?.unwrap_or_default();
        SmsHistory::from_stored(number, &text).ok_or(StoreError::Corrupt { column: "sent_at" })
    };
    Ok(SmsUse {
        number: history("number_version", "number_sent_at")?,
        person: history("person_version", "person_sent_at")?,
        partner_ahead_to: column::<DB, Option<i64>>(row, "partner_ahead_to")?.unwrap_or_default(),
    })
}

/// Writes a message down. False when a limit stands against it by now, or somebody has sent since the histories were read;
/// then the transaction is to be rolled back.
///
/// To be called after the number's own row and before the person's: partner, number, person is the order in which
/// everybody takes the locks in between.
pub(super) async fn spend_sms<DB: Engine>(
    transaction: &mut Transaction<DB>,
    partner: &PartnerId,
    spend: &SmsSpend,
) -> Result<bool> {
    let at = spend.at.timestamp_micros();
    let rate = sqlx::query(
        "insert into sms_partner_rate (partner_id, ahead_to)
         values ($1, $2)
         on conflict (partner_id) do update
            set ahead_to = case when sms_partner_rate.ahead_to > $3 then sms_partner_rate.ahead_to else $3 end + $4
          where case when sms_partner_rate.ahead_to > $3 then sms_partner_rate.ahead_to else $3 end + $4 - $3 <= $5
         returning partner_id",
    )
    .bind(partner.as_str().to_owned())
    .bind(at + spend.interval)
    .bind(at)
    .bind(spend.interval)
    .bind(spend.horizon)
    .fetch_all(&mut **transaction)
    .await?;
    Ok(!rate.is_empty()
        && write_history::<DB>(transaction, partner, &spend.number, spend.at).await?
        && write_history::<DB>(transaction, partner, &spend.person, spend.at).await?)
}

async fn write_history<DB: Engine>(
    transaction: &mut Transaction<DB>,
    partner: &PartnerId,
    (subject, history): &(String, SmsHistory),
    at: DateTime<Utc>,
) -> Result<bool> {
    let written = sqlx::query(
        "insert into sms_history (partner_id, subject, sent_at, version, last_sent_at)
         values ($1, $2, $3, $4, $5)
         on conflict (partner_id, subject) do update
            set sent_at = excluded.sent_at
              , version = excluded.version
              , last_sent_at = excluded.last_sent_at
          where sms_history.version = excluded.version - 1
         returning subject",
    )
    .bind(partner.as_str().to_owned())
    .bind(subject.clone())
    .bind(history.to_text())
    .bind(history.version())
    .bind(at)
    .fetch_all(&mut **transaction)
    .await?;
    Ok(!written.is_empty())
}

/// Takes back a message that nobody took, unless another was sent since. The same order of locks. The partner's rate is not given back: it also
/// bounds how often providers are asked in vain.
pub(super) async fn take_back_sms<DB: Engine>(
    transaction: &mut Transaction<DB>,
    partner: &PartnerId,
    spend: &SmsSpend,
) -> Result<()> {
    for (subject, history) in [&spend.number, &spend.person] {
        sqlx::query(
            "update sms_history
                set sent_at = $4
              where partner_id = $1
                and subject = $2
                and version = $3",
        )
        .bind(partner.as_str().to_owned())
        .bind(subject.clone())
        .bind(history.version())
        .bind(history.without_newest())
        .execute(&mut **transaction)
        .await?;
    }
    Ok(())
}
