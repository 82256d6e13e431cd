//! Housekeeping: deletes rows that have ended, in small batches, so that no request waits for its locks.
//!
//! Each kind of row has one statement, which takes the oldest rows first. Its condition contains the instant at which a
//! row ends, so no live row is deleted. Rows that are keyed by a UUID are found by the instant in that id (RFC 9562
//! section 5.7), so that requests maintain no index on the end. See `docs/decisions/0029-keys-and-indexes.md`.
//!
//! The batch size is a literal: for a `limit` parameter the Postgres planner assumes a tenth of the rows, and then
//! scans the whole table.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::Result;
use super::sql_store::SqlStore;
use crate::domain::clock_skew::SKEW_MAX;
use crate::domain::id::uuid_v7;
use crate::store::dialect::Dialect;

/// Maximum number of rows in one transaction.
pub const SWEEP_BATCH: usize = 500;

/// A kind of row that housekeeping deletes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExpiredRows {
    /// Expired bindings: the key and name of a device that was never bound, or that by now has both in its own row.
    Bindings,
    /// Expired codes for numbers.
    Codes,
    /// Challenges of devices that were closed or have expired.
    DeviceChallenges,
    /// Expired activation codes, with their delivery events.
    ActivationCodes,
    /// Stored outcomes of requests with an idempotency key.
    Outcomes,
    /// Messages older than every SMS limit's window.
    Messages,
    /// Client secrets that are no longer accepted.
    Secrets,
    /// Counts of codes sent and used, of minutes that the conversion check no longer reads.
    Conversion,
    /// Fraud assessments.
    Assessments,
    /// The texts of approvals that were answered.
    ApprovalTexts,
}

impl ExpiredRows {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::Bindings,
        Self::Codes,
        Self::DeviceChallenges,
        Self::ActivationCodes,
        Self::Outcomes,
        Self::Messages,
        Self::Secrets,
        Self::Conversion,
        Self::Assessments,
        Self::ApprovalTexts,
    ];

    /// The value of the metrics label `kind`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bindings => "bindings",
            Self::Codes => "codes",
            Self::DeviceChallenges => "device_challenges",
            Self::ActivationCodes => "activation_codes",
            Self::Outcomes => "answers",
            Self::Messages => "messages",
            Self::Secrets => "secrets",
            Self::Conversion => "conversion",
            Self::Assessments => "assessments",
            Self::ApprovalTexts => "approval_texts",
        }
    }

    /// Whether its statement takes the upper bound for ids as $2.
    fn is_found_by_id(self) -> bool {
        !matches!(self, Self::Outcomes | Self::Secrets | Self::Conversion)
    }

    #[expect(clippy::too_many_lines, reason = "a table: one statement for each kind")]
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
                      , binding_activation_id = null
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
            Self::DeviceChallenges => {
                "delete from device_challenge
                  where (closed_at < $1 or expires_at < $1)
                    and (challenge_id, partner_id) in (select challenge_id, partner_id
                                                         from device_challenge
                                                        where challenge_id < $2
                                                          and (closed_at < $1 or expires_at < $1)
                                                        order by challenge_id
                                                        limit 500)
                 returning challenge_id"
            }
            Self::ActivationCodes => {
                "delete from activation_code
                  where expires_at < $1
                    and (code_id, partner_id) in (select code_id, partner_id
                                                    from activation_code
                                                   where code_id < $2
                                                     and expires_at < $1
                                                   order by code_id
                                                   limit 500)
                 returning code_id"
            }
            Self::Outcomes => {
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
            Self::ApprovalTexts => {
                "delete from approval_text
                  where (event_id, partner_id) in (select event_id, partner_id
                                                     from approval_text
                                                    where event_id < $2
                                                      and answered_at < $1
                                                    order by event_id
                                                    limit 500)
                 returning event_id"
            }
        }
    }
}

/// Housekeeping.
#[macro_rules_attribute::apply(port)]
pub trait Housekeeping {
    /// Takes or renews a task's lease. `longest` is the maximum lease duration on any replica's clock. False while
    /// another holder has it. A lease that ends later than `longest` from now was written by a wrong clock and counts
    /// as over.
    async fn take_lease(&self, task: &str, holder: Uuid, now: DateTime<Utc>, longest: TimeDelta) -> Result<bool>;

    /// Releases the holder's lease.
    async fn end_lease(&self, task: &str, holder: Uuid, now: DateTime<Utc>) -> Result<()>;

    /// Deletes rows of this kind that ended before this instant, the oldest first, at most [`SWEEP_BATCH`]. Returns
    /// their number.
    async fn sweep(&self, kind: ExpiredRows, before: DateTime<Utc>) -> Result<usize>;
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
        // Shortened by the maximum clock skew between replicas.
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

    async fn sweep(&self, kind: ExpiredRows, before: DateTime<Utc>) -> Result<usize> {
        let mut transaction = self.begin().await?;
        // A row that ended before that instant was created no later than in its millisecond.
        let id_bound = uuid_v7(before, [u8::MAX; 10]);
        let query = sqlx::query(kind.statement());
        let query = match kind {
            ExpiredRows::Messages => query.bind(before.timestamp_micros()),
            _ => query.bind(before),
        };
        let query = if kind.is_found_by_id() { query.bind(id_bound) } else { query };
        let swept = query.fetch_all(&mut *transaction).await?.len();
        transaction.commit().await?;
        Ok(swept)
    }
}
