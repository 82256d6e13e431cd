//! Recent messages, for the SMS limits: read, count, refund.
//!
//! A message is one row of `sms_sent`. It has a sequence number (turn) per number and one per person. The write is a
//! compare-and-set: its condition is that the last messages are still those that were read, and it takes the next
//! turns. Unique indexes let only one of two concurrent writers have a turn. See
//! `docs/decisions/0021-sms-limits-compare-and-set.md`.

use uuid::Uuid;

use crate::domain::numbers::MobileNumber;
use crate::domain::person::{PartnerId, PersonId};
use crate::domain::sms::limits::{SmsHistory, SmsSpend, SmsTurn, SmsUse};
use crate::store::dialect::Dialect;
use crate::store::pool::Transaction;
use crate::store::rows::column;
use crate::store::statement::{Bound, Statement};
use crate::store::{Result, StoreError};

/// The columns for [`sms_use`]. The surrounding statement must alias the number as `n`, and bind the partner as $1 and
/// the person as $2. They are subqueries, because with stale statistics Postgres would join all rows of a partner.
macro_rules! sms_use_columns {
    () => {
        "         , (select string_agg(cast(m.number_turn as text) || ':' || cast(m.sent_at as text), ',')
                      from (select number_turn, sent_at
                              from sms_sent
                             where partner_id = $1
                               and number = n.number
                             order by number_turn desc
                             limit 2000) m) as sent_to_number
                  , (select string_agg(cast(m.person_turn as text) || ':' || cast(m.sent_at as text), ',')
                      from (select person_turn, sent_at
                              from sms_sent
                             where partner_id = $1
                               and person_id = $2
                             order by person_turn desc
                             limit 2000) m) as sent_for_person
                  , (select r.ahead_to from sms_partner_rate r where r.partner_id = $1) as partner_ahead_to
        "
    };
}
pub(in crate::store) use sms_use_columns;

/// Selects the last message to a number. The dialect adds the row lock that keeps it unchanged until commit.
macro_rules! last_sms_to_number {
    ($held:literal) => {
        concat!(
            "select number_turn as turn, sent_at
               from sms_sent
              where partner_id = $1
                and number = $2
              order by number_turn desc
              limit 1
             ",
            $held
        )
    };
}
pub(in crate::store) use last_sms_to_number;

/// Selects the last message for a person, likewise.
macro_rules! last_sms_for_person {
    ($held:literal) => {
        concat!(
            "select person_turn as turn, sent_at
               from sms_sent
              where partner_id = $1
                and person_id = $2
              order by person_turn desc
              limit 1
             ",
            $held
        )
    };
}
pub(in crate::store) use last_sms_for_person;

/// Reads [`sms_use_columns`].
pub(in crate::store) fn sms_use<DB: Dialect>(row: &DB::Row) -> Result<SmsUse> {
    let history = |name: &'static str| {
        let text = column::<DB, Option<String>>(row, name)?.unwrap_or_default();
        let messages = text.split(',').filter(|word| !word.is_empty()).map(sms_turn).collect::<Option<Vec<_>>>();
        messages.and_then(|messages| SmsHistory::of(&messages)).ok_or(StoreError::Corrupt { column: "sent_at" })
    };
    Ok(SmsUse {
        number: history("sent_to_number")?,
        person: history("sent_for_person")?,
        partner_ahead_to: column::<DB, Option<i64>>(row, "partner_ahead_to")?.unwrap_or_default(),
    })
}

fn sms_turn(word: &str) -> Option<SmsTurn> {
    let (turn, sent_at) = word.split_once(':')?;
    Some(SmsTurn { turn: turn.parse().ok()?, sent_at: sent_at.parse().ok()? })
}

/// Counts a message and charges the partner for it. False when a limit is now reached, or another message was counted
/// since the limits were read; the caller must then roll back.
///
/// To be called with the number's row locked and the person's row not yet locked. The lock order is number, challenge,
/// message, person, partner.
pub(in crate::store) async fn spend_sms<DB: Dialect>(
    transaction: &mut Transaction<DB>,
    partner: &PartnerId,
    (message, number, person): (Uuid, &MobileNumber, &PersonId),
    spend: &SmsSpend,
) -> Result<bool> {
    Ok(count_sms(transaction, partner, (message, number, person), spend).await?
        && charge_partner(transaction, partner, spend).await?)
}

/// Counts a message. False when another message was counted since the limits were read.
pub(in crate::store) async fn count_sms<DB: Dialect>(
    transaction: &mut Transaction<DB>,
    partner: &PartnerId,
    (message, number, person): (Uuid, &MobileNumber, &PersonId),
    spend: &SmsSpend,
) -> Result<bool> {
    for (statement, of, last) in [
        (DB::LAST_SMS_TO_NUMBER, number.as_e164(), spend.last_to_number),
        (DB::LAST_SMS_FOR_PERSON, person.as_str(), spend.last_for_person),
    ] {
        let found = sqlx::query(statement).bind(partner.as_str().to_owned()).bind(of.to_owned());
        let found = found.fetch_all(&mut **transaction).await?;
        let found = found.first().map(|row| {
            Ok::<_, StoreError>(SmsTurn {
                turn: column::<DB, _>(row, "turn")?,
                sent_at: column::<DB, _>(row, "sent_at")?,
            })
        });
        if found.transpose()?.unwrap_or_default() != last {
            return Ok(false);
        }
    }
    let counted = sqlx::query(
        "insert into sms_sent (partner_id, message_id, number, number_turn, person_id, person_turn, sent_at)
         values ($1, $2, $3, $4, $5, $6, $7)
         on conflict do nothing
         returning message_id",
    )
    .bind(partner.as_str().to_owned())
    .bind(message)
    .bind(number.as_e164().to_owned())
    .bind(spend.last_to_number.turn + 1)
    .bind(person.as_str().to_owned())
    .bind(spend.last_for_person.turn + 1)
    .bind(spend.at.timestamp_micros());
    Ok(!counted.fetch_all(&mut **transaction).await?.is_empty())
}

/// Charges a message to the partner's rate. False when the rate is now exceeded.
pub(in crate::store) async fn charge_partner<DB: Dialect>(
    transaction: &mut Transaction<DB>,
    partner: &PartnerId,
    spend: &SmsSpend,
) -> Result<bool> {
    Ok(!transaction.rows(ChargePartner { partner, spend }).await?.is_empty())
}

/// A stored instant further ahead than the limit allows was written by a wrong clock, or while limits were only
/// observed; it is ignored.
struct ChargePartner<'a> {
    partner: &'a PartnerId,
    spend: &'a SmsSpend,
}

impl<DB: Dialect> Statement<DB> for ChargePartner<'_> {
    const SQL: &'static str = "insert into sms_partner_rate as rate (partner_id, ahead_to)
         values ($1, $2 + $3)
         on conflict (partner_id) do update
            set ahead_to = case when rate.ahead_to > $2 and rate.ahead_to < $5 then rate.ahead_to else $2 end + $3
          where case when rate.ahead_to > $2 and rate.ahead_to < $5 then rate.ahead_to else $2 end + $3 - $2 <= $4
         returning partner_id";

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        query
            .bind(self.partner.as_str().to_owned())
            .bind(self.spend.at.timestamp_micros())
            .bind(self.spend.interval)
            .bind(self.spend.horizon)
            .bind(self.spend.too_far_ahead())
    }
}

/// Refunds a message that no provider accepted: it no longer counts, but keeps its turns, so that a request with an
/// outdated read cannot take them again. The partner's rate is not refunded, because it also bounds the rate of failing
/// calls to providers.
pub(in crate::store) async fn take_back_sms<DB: Dialect>(
    transaction: &mut Transaction<DB>,
    partner: &PartnerId,
    message: Uuid,
) -> Result<()> {
    sqlx::query("update sms_sent set sent_at = 0 where partner_id = $1 and message_id = $2")
        .bind(partner.as_str().to_owned())
        .bind(message)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}
