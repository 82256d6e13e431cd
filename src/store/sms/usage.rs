//! Messages that were sent of late, for the limits: read, counted, taken back.
//!
//! A message is one row of `sms_sent`. What is read is out of date when the row is written, so the write is made under the
//! condition that no message has been counted since for the person and in the number's lane: `last_message_id` in the rows
//! of both is still the one that was read. See `docs/decisions/0021-sms-limits-compare-and-set.md`.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::domain::numbers::MobileNumber;
use crate::domain::person::{PartnerId, PersonId};
use crate::domain::sms::limits::{SmsHistory, SmsSpend, SmsUse};
use crate::store::dialect::Dialect;
use crate::store::pool::Transaction;
use crate::store::rows::column;
use crate::store::{Result, StoreError};

/// The columns that [`sms_use`] reads, of a statement whose number is `n`, whose person's row is `p`, and which has the
/// partner as $1, the person as $2 and the instant of `counted_since` as $4. By subqueries: after a quiet night Postgres
/// would join all that a partner has.
macro_rules! sms_use_columns {
    () => {
        "         , (select string_agg(cast(m.sent_at as text), ',')
                      from (select sent_at
                              from sms_sent
                             where partner_id = $1
                               and number = n.number
                               and sent_at > $4
                             order by sent_at desc
                             limit 1000) m) as sent_to_number
                  , (select string_agg(cast(m.sent_at as text), ',')
                      from (select sent_at
                              from sms_sent
                             where partner_id = $1
                               and person_id = $2
                               and sent_at > $4
                             order by sent_at desc
                             limit 1000) m) as sent_for_person
                  , p.last_message_id as last_for_person
                  , (select l.last_message_id
                       from sms_lane l
                      where l.partner_id = $1
                        and l.lane = substr(n.number, length(n.number) - 2)) as last_in_lane
                  , (select r.ahead_to from sms_partner_rate r where r.partner_id = $1) as partner_ahead_to
        "
    };
}
pub(in crate::store) use sms_use_columns;

/// How far ahead of its rate the partner in this column is: an instant that lies further ahead than a partner can get was
/// made by a wrong clock, or while limits were only watched, and counts for nothing. Takes the column, now, and the
/// instant from which on it is too far.
macro_rules! ahead_of_rate {
    ($ahead_to:literal, $now:literal, $too_far:literal) => {
        concat!(
            "case when ",
            $ahead_to,
            " > ",
            $now,
            " and ",
            $ahead_to,
            " < ",
            $too_far,
            " then ",
            $ahead_to,
            " else ",
            $now,
            " end"
        )
    };
}
pub(in crate::store) use ahead_of_rate;

/// Reads [`sms_use_columns`].
pub(in crate::store) fn sms_use<DB: Dialect>(row: &DB::Row) -> Result<SmsUse> {
    let history = |name: &'static str| {
        let text = column::<DB, Option<String>>(row, name)?.unwrap_or_default();
        let instants = text.split(',').filter(|word| !word.is_empty());
        let instants = instants.map(|word| DateTime::<Utc>::from_timestamp_micros(word.parse().ok()?));
        instants.collect::<Option<Vec<_>>>().map(SmsHistory::of).ok_or(StoreError::Corrupt { column: "sent_at" })
    };
    Ok(SmsUse {
        number: history("sent_to_number")?,
        person: history("sent_for_person")?,
        last_in_lane: column::<DB, _>(row, "last_in_lane")?,
        last_for_person: column::<DB, _>(row, "last_for_person")?,
        partner_ahead_to: column::<DB, Option<i64>>(row, "partner_ahead_to")?.unwrap_or_default(),
    })
}

/// Counts a message. False when a limit stands against it by now, or another message was counted since the limits were
/// read; then the transaction is to be rolled back.
///
/// To be called after the number's own row: number, person, lane, partner is the order of these locks everywhere.
pub(in crate::store) async fn spend_sms<DB: Dialect>(
    transaction: &mut Transaction<DB>,
    partner: &PartnerId,
    (message, number, person): (Uuid, &MobileNumber, &PersonId),
    spend: &SmsSpend,
) -> Result<bool> {
    let of_person = sqlx::query(
        "update person
            set last_message_id = $3
          where partner_id = $1
            and person_id = $2
            and last_message_id is not distinct from $4
         returning person_id",
    )
    .bind(partner.as_str().to_owned())
    .bind(person.as_str().to_owned())
    .bind(message)
    .bind(spend.last_for_person);
    if of_person.fetch_all(&mut **transaction).await?.is_empty() {
        return Ok(false);
    }
    let in_lane = sqlx::query(
        "insert into sms_lane (partner_id, lane, last_message_id)
         values ($1, substr($2, length($2) - 2), $3)
         on conflict (partner_id, lane) do update
            set last_message_id = excluded.last_message_id
          where sms_lane.last_message_id is not distinct from $4
         returning lane",
    )
    .bind(partner.as_str().to_owned())
    .bind(number.as_e164().to_owned())
    .bind(message)
    .bind(spend.last_in_lane);
    if in_lane.fetch_all(&mut **transaction).await?.is_empty() {
        return Ok(false);
    }
    let at_rate = sqlx::query(concat!(
        "insert into sms_partner_rate (partner_id, ahead_to)
         values ($1, $2 + $3)
         on conflict (partner_id) do update
            set ahead_to = ",
        ahead_of_rate!("sms_partner_rate.ahead_to", "$2", "$5"),
        " + $3
          where ",
        ahead_of_rate!("sms_partner_rate.ahead_to", "$2", "$5"),
        " + $3 - $2 <= $4
         returning partner_id"
    ))
    .bind(partner.as_str().to_owned())
    .bind(spend.at.timestamp_micros())
    .bind(spend.interval)
    .bind(spend.horizon)
    .bind(spend.too_far_ahead());
    if at_rate.fetch_all(&mut **transaction).await?.is_empty() {
        return Ok(false);
    }
    sqlx::query(
        "insert into sms_sent (partner_id, message_id, number, person_id, sent_at)
         values ($1, $2, $3, $4, $5)",
    )
    .bind(partner.as_str().to_owned())
    .bind(message)
    .bind(number.as_e164().to_owned())
    .bind(person.as_str().to_owned())
    .bind(spend.at.timestamp_micros())
    .execute(&mut **transaction)
    .await?;
    Ok(true)
}

/// Takes back a message that no provider took. The partner's rate is not given back: it also bounds how often providers are
/// asked in vain.
pub(in crate::store) async fn take_back_sms<DB: Dialect>(
    transaction: &mut Transaction<DB>,
    partner: &PartnerId,
    message: Uuid,
) -> Result<()> {
    sqlx::query("delete from sms_sent where partner_id = $1 and message_id = $2")
        .bind(partner.as_str().to_owned())
        .bind(message)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}
