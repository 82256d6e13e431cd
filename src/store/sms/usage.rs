//! Messages that were sent of late, for the limits: read, counted, taken back.
//!
//! A message is one row of `sms_sent`. It has a turn among the messages to its number and a turn among those for its person.
//! What is read is out of date when the row is written, so the write is made under the condition that the last messages are
//! still those that were read, and takes the turns that follow. Unique indexes let one of two writers have a turn. See
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

/// The columns that [`sms_use`] reads, of a statement whose number is `n`, and which has the partner as $1 and the person as
/// $2. By subqueries: after a quiet night Postgres would join all that a partner has.
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

/// The statement that reads the last message to a number. What keeps the row as it is until the commit is the engine's own.
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

/// The same of the last message for a person.
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

/// Counts a message and charges the partner for it. False when a limit stands against it by now, or another message was
/// counted since the limits were read; then the transaction is to be rolled back.
///
/// To be called after the number's own row is held and before the person's is: number, challenge, message, person, partner is
/// the order of these locks everywhere.
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

/// Charges the partner's rate for a message. False when the partner is at its rate by now.
pub(in crate::store) async fn charge_partner<DB: Dialect>(
    transaction: &mut Transaction<DB>,
    partner: &PartnerId,
    spend: &SmsSpend,
) -> Result<bool> {
    Ok(!transaction.rows(ChargePartner { partner, spend }).await?.is_empty())
}

/// An instant that lies further ahead than a partner can get was made by a wrong clock, or while limits were only watched, and
/// counts for nothing.
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

/// Takes back a message that no provider took: it counts for nothing, and keeps its turns, so that no request that has read
/// less than there was gets one of them. The partner's rate is not given back; it also bounds how often providers are asked
/// in vain.
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
