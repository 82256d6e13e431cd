//! Counts of codes sent and used, per partner, country and minute of sending.
//!
//! Replicas add their counts to shared rows; additions commute, so concurrent ones lose nothing. A reset excludes
//! earlier minutes from the sums without deleting them.

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

/// Identifies the codes that were sent to a destination within one minute.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SentMinute {
    /// Their destination.
    pub destination: Destination,
    /// Start of the minute.
    pub minute: DateTime<Utc>,
}

/// The counts of a destination.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConversionSum {
    /// The destination.
    pub destination: Destination,
    /// The sums over the requested minutes.
    pub tally: Tally,
    /// The newest minute with a sent code, requested or not.
    pub last_minute: DateTime<Utc>,
}

/// Codes sent and used.
#[macro_rules_attribute::apply(port)]
pub trait SmsConversion {
    /// Adds counts atomically. To avoid deadlocks, callers must pass rows in sorted order.
    async fn add_sms_conversion(&self, counts: &[(SentMinute, Tally)]) -> Result<()>;

    /// The sums over these minutes for every partner and country with codes since their start, excluding minutes before
    /// a destination's last reset. Minutes and resets that are too far ahead of `now` come from a wrong clock and are
    /// ignored.
    async fn sms_conversion(&self, minutes: Range<DateTime<Utc>>, now: DateTime<Utc>) -> Result<Vec<ConversionSum>>;

    /// Excludes minutes that began before this instant from the destination's sums.
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
