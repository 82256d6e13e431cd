//! How many codes were sent and used, per partner, country and minute of their sending.
//!
//! Replicas add what they counted; additions to one row come in any order and from anywhere and lose nothing. A reset makes
//! the minutes before it count no more, and leaves them in place.

use std::ops::Range;

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::clock_skew::latest_end;
use crate::domain::numbers::country::Country;
use crate::domain::person::PartnerId;
use crate::domain::sms::conversion::{Destination, Tally};
use crate::store::audit::record::write_down;
use crate::store::dialect::Dialect;
use crate::store::rows::column;
use crate::store::sql_store::SqlStore;
use crate::store::{AuditRecord, Result, StoreError};

/// Codes that were sent to a destination within one minute.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SentMinute {
    /// Where they went.
    pub destination: Destination,
    /// The minute's beginning.
    pub minute: DateTime<Utc>,
}

/// What is known of a destination.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConversionSum {
    /// Where codes went.
    pub destination: Destination,
    /// Those of the minutes that were asked about.
    pub tally: Tally,
    /// The newest minute in which any was sent, whether or not it was asked about.
    pub last_minute: DateTime<Utc>,
}

/// Codes sent and used.
#[macro_rules_attribute::apply(port)]
pub trait SmsConversion {
    /// Adds counts, all of them or none. Callers that add at the same time must name rows in the same order: sorted.
    async fn add_sms_conversion(&self, counts: &[(SentMinute, Tally)]) -> Result<()>;

    /// The sums of these minutes for every partner and country that was sent to since they began; without what came before
    /// a destination's last reset. Minutes and resets that only a wrong clock can have written by `now` do not count.
    async fn sms_conversion(&self, minutes: Range<DateTime<Utc>>, now: DateTime<Utc>) -> Result<Vec<ConversionSum>>;

    /// Minutes that began before this moment count no more for the destination.
    async fn reset_sms_conversion(
        &self,
        destination: &Destination,
        at: DateTime<Utc>,
        record: &AuditRecord,
    ) -> Result<()>;
}

#[async_trait::async_trait]
impl<DB: Dialect> SmsConversion for SqlStore<DB> {
    async fn add_sms_conversion(&self, counts: &[(SentMinute, Tally)]) -> Result<()> {
        let mut transaction = self.begin().await?;
        for (sent, tally) in counts {
            sqlx::query(
                "insert into sms_conversion (partner_id, country, sent_in_minute, sent, used)
                 values ($1, $2, $3, $4, $5)
                 on conflict (partner_id, country, sent_in_minute) do update
                    set sent = sms_conversion.sent + excluded.sent
                      , used = sms_conversion.used + excluded.used",
            )
            .bind(sent.destination.partner.as_str().to_owned())
            .bind(sent.destination.country.as_str().to_owned())
            .bind(sent.minute)
            .bind(tally.sent)
            .bind(tally.used)
            .execute(&mut *transaction)
            .await?;
        }
        Ok(transaction.commit().await?)
    }

    async fn sms_conversion(&self, minutes: Range<DateTime<Utc>>, now: DateTime<Utc>) -> Result<Vec<ConversionSum>> {
        let query = sqlx::query(
            "select c.partner_id
                  , c.country
                  , cast(sum(case when c.sent_in_minute < $2 then c.sent else 0 end) as bigint) as sent
                  , cast(sum(case when c.sent_in_minute < $2 then c.used else 0 end) as bigint) as used
                  , max(c.sent_in_minute) as last_minute
               from sms_conversion c
               left join sms_conversion_reset r on r.partner_id = c.partner_id and r.country = c.country
              where c.sent_in_minute >= $1
                and c.sent_in_minute <= $3
                and (r.reset_at is null or r.reset_at > $3 or c.sent_in_minute >= r.reset_at)
              group by c.partner_id, c.country
              order by c.partner_id, c.country",
        )
        .bind(minutes.start)
        .bind(minutes.end)
        .bind(latest_end(now, TimeDelta::zero()));
        self.rows(query).await?.iter().map(conversion_sum::<DB>).collect()
    }

    async fn reset_sms_conversion(
        &self,
        destination: &Destination,
        at: DateTime<Utc>,
        record: &AuditRecord,
    ) -> Result<()> {
        let mut transaction = self.begin().await?;
        sqlx::query(
            "insert into sms_conversion_reset (partner_id, country, reset_at)
             values ($1, $2, $3)
             on conflict (partner_id, country) do update
                set reset_at = excluded.reset_at",
        )
        .bind(destination.partner.as_str().to_owned())
        .bind(destination.country.as_str().to_owned())
        .bind(at)
        .execute(&mut *transaction)
        .await?;
        write_down::<DB>(&mut transaction, &destination.partner, record).await?;
        Ok(transaction.commit().await?)
    }
}

fn conversion_sum<DB: Dialect>(row: &DB::Row) -> Result<ConversionSum> {
    let partner = PartnerId::parse(&column::<DB, String>(row, "partner_id")?);
    let country = Country::parse(&column::<DB, String>(row, "country")?);
    Ok(ConversionSum {
        destination: Destination {
            partner: partner.ok_or(StoreError::Corrupt { column: "partner_id" })?,
            country: country.ok_or(StoreError::Corrupt { column: "country" })?,
        },
        tally: Tally { sent: column::<DB, _>(row, "sent")?, used: column::<DB, _>(row, "used")? },
        last_minute: column::<DB, _>(row, "last_minute")?,
    })
}
