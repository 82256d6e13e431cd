//! What is no longer needed: removed in small batches, so that no request waits for it.
//!
//! Each kind is one statement of its own that looks for the oldest. Nothing that is alive is touched: the instant at which
//! something ends is in the condition. What has an id of its own is found by the instant in that id (RFC 9562 section 5.7), so
//! that no index on when it ends has to be written to by requests. See `docs/decisions/0029-keys-and-indexes.md`.
//!
//! The size of a batch is written out in the statements: of a parameter Postgres would assume that it is a tenth of the
//! table, and read all of the table to find them.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::Result;
use super::sql_store::SqlStore;
use crate::domain::clock_skew::SKEW_MAX;
use crate::domain::id::uuid_v7;
use crate::store::dialect::Dialect;

/// Rows in one commit.
pub const SWEEP_BATCH: usize = 500;

/// A kind of thing that becomes useless with time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExpiredRows {
    /// Bindings that have expired: the key and the name of a device that was never bound, or that has both
    /// in a row of its own by now.
    Bindings,
    /// Codes for numbers that have expired.
    Codes,
    /// Outcomes kept for idempotency keys.
    Answers,
    /// Messages that no window reaches any more.
    Messages,
    /// Secrets of clients that are no longer accepted.
    Secrets,
    /// Counts of codes sent and used, of minutes that are no longer judged.
    Conversion,
    /// Fraud assessments.
    Assessments,
}

impl ExpiredRows {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Bindings,
        Self::Codes,
        Self::Answers,
        Self::Messages,
        Self::Secrets,
        Self::Conversion,
        Self::Assessments,
    ];

    /// Its name in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bindings => "bindings",
            Self::Codes => "codes",
            Self::Answers => "answers",
            Self::Messages => "messages",
            Self::Secrets => "secrets",
            Self::Conversion => "conversion",
            Self::Assessments => "assessments",
        }
    }

    /// Whether its statement takes the youngest id that is of interest as $2.
    fn is_found_by_id(self) -> bool {
        matches!(self, Self::Bindings | Self::Codes | Self::Messages | Self::Assessments)
    }

    fn statement(self) -> &'static str {
        match self {
            Self::Bindings => {
                "update person
                    set binding_id = null
                      , binding_key_id = null
                      , binding_key = null
                      , binding_key_purpose = null
                      , binding_device_name = null
                      , binding_otp_version = null
                      , binding_created_at = null
                      , binding_expires_at = null
                      , binding_wrong_signatures = 0
                      , binding_closed_at = null
                  where binding_expires_at < $1
                    and (binding_id, partner_id) in (select binding_id, partner_id
                                                       from person
                                                      where binding_id < $2
                                                        and binding_expires_at < $1
                                                      order by binding_id
                                                      limit 500)
                 returning person_id"
            }
            Self::Codes => {
                "delete from challenge
                  where expires_at < $1
                    and (challenge_id, partner_id) in (select challenge_id, partner_id
                                                         from challenge
                                                        where challenge_id < $2
                                                          and expires_at < $1
                                                        order by challenge_id
                                                        limit 500)
                 returning challenge_id"
            }
            Self::Answers => {
                "delete from idempotent_request
                  where claimed_at < $1
                    and (partner_id, scope) in (select partner_id, scope
                                                  from idempotent_request
                                                 where claimed_at < $1
                                                 order by claimed_at
                                                 limit 500)
                 returning scope"
            }
            Self::Messages => {
                "delete from sms_sent
                  where sent_at < $1
                    and (message_id, partner_id) in (select message_id, partner_id
                                                       from sms_sent
                                                      where message_id < $2
                                                        and sent_at < $1
                                                      order by message_id
                                                      limit 500)
                 returning message_id"
            }
            Self::Secrets => {
                "delete from client_secret
                  where (client_id, secret_hash) in (select client_id, secret_hash
                                                       from client_secret
                                                      where expires_at < $1
                                                      order by expires_at
                                                      limit 500)
                 returning client_id"
            }
            Self::Conversion => {
                "delete from sms_conversion
                  where (partner_id, country, sent_in_minute) in
                            (select partner_id, country, sent_in_minute
                               from sms_conversion
                              where sent_in_minute < $1
                              order by sent_in_minute
                              limit 500)
                 returning country"
            }
            Self::Assessments => {
                "delete from fraud_assessment
                  where (assessment_id, partner_id) in (select assessment_id, partner_id
                                                          from fraud_assessment
                                                         where assessment_id < $2
                                                           and assessed_at < $1
                                                         order by assessment_id
                                                         limit 500)
                 returning assessment_id"
            }
        }
    }
}

/// Housekeeping.
#[macro_rules_attribute::apply(port)]
pub trait Housekeeping {
    /// Takes a task's lease, or prolongs it. `longest` is its longest life on the clock of any replica. False while another
    /// holder has it: a lease that ends later than that from now is a wrong clock's, and counts as over.
    async fn take_lease(&self, task: &str, holder: Uuid, now: DateTime<Utc>, longest: TimeDelta) -> Result<bool>;

    /// Ends a lease that the holder has.
    async fn end_lease(&self, task: &str, holder: Uuid, now: DateTime<Utc>) -> Result<()>;

    /// Removes what ended before this moment, the oldest first and not more than [`SWEEP_BATCH`]. Gives how much that was.
    async fn sweep(&self, litter: ExpiredRows, before: DateTime<Utc>) -> Result<usize>;
}

#[async_trait::async_trait]
impl<DB: Dialect> Housekeeping for SqlStore<DB> {
    async fn take_lease(&self, task: &str, holder: Uuid, now: DateTime<Utc>, longest: TimeDelta) -> Result<bool> {
        let query = sqlx::query(
            "insert into housekeeping_lease (task, holder, held_until)
             values ($1, $2, $3)
             on conflict (task) do update
                set holder = excluded.holder
                  , held_until = excluded.held_until
              where housekeeping_lease.held_until <= $4
                 or housekeeping_lease.held_until > $5
                 or housekeeping_lease.holder = $2
             returning task",
        )
        .bind(task.to_owned())
        .bind(holder)
        // Shorter by what the clock of another replica may be behind ours.
        .bind(now + longest - SKEW_MAX)
        .bind(now)
        .bind(now + longest);
        Ok(self.write(query).await?.is_some())
    }

    async fn end_lease(&self, task: &str, holder: Uuid, now: DateTime<Utc>) -> Result<()> {
        let query = sqlx::query("update housekeeping_lease set held_until = $3 where task = $1 and holder = $2")
            .bind(task.to_owned())
            .bind(holder)
            .bind(now);
        self.write(query).await?;
        Ok(())
    }

    async fn sweep(&self, litter: ExpiredRows, before: DateTime<Utc>) -> Result<usize> {
        let mut transaction = self.begin().await?;
        // What ended before that moment was made in its millisecond at the latest.
        let youngest = uuid_v7(before, [u8::MAX; 10]);
        let query = sqlx::query(litter.statement());
        let query = match litter {
            ExpiredRows::Messages => query.bind(before.timestamp_micros()),
            _ => query.bind(before),
        };
        let query = if litter.is_found_by_id() { query.bind(youngest) } else { query };
        let swept = query.fetch_all(&mut *transaction).await?.len();
        transaction.commit().await?;
        Ok(swept)
    }
}
