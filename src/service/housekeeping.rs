//! Housekeeping: removes expired rows in small batches, on one replica at a time.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{Failure, Policy, Service};
use crate::domain::challenges::REPEAT_WINDOW;
use crate::domain::clock_skew::SKEW_MAX;
use crate::domain::idempotency::OUTCOMES_STORED_FOR;
use crate::domain::sms::limits::WINDOW_MAX;
use crate::store::{ExpiredRows, SWEEP_BATCH, StoreError};

/// Maximum of batches of one kind per turn.
const BATCHES_PER_TURN: usize = 100;

/// The same for challenges of devices, of which a log-in makes one: thousands per second.
const DEVICE_CHALLENGE_BATCHES_PER_TURN: usize = 1000;

/// The length of the lease: how long a crashed replica blocks the others, by the clock of any replica.
const LEASE: TimeDelta = TimeDelta::minutes(5);

const TASK: &str = "housekeeping";

/// How long data that may still be asked about is kept.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Expired challenges and codes.
    pub challenges: TimeDelta,
    /// Fraud assessments; `None` keeps them forever.
    pub assessments: Option<TimeDelta>,
    /// Texts of approvals that were answered; `None` keeps them forever.
    pub approval_texts: Option<TimeDelta>,
}

/// The result of a turn of a background task that did not fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    /// The work was done.
    Done,
    /// Another replica holds the lease, so this replica did nothing.
    HeldElsewhere,
}

impl Service {
    /// Sweeps every kind once, unless another replica holds the lease.
    pub async fn keep_house(&self) -> Result<Turn, Failure> {
        let holder = Uuid::from_bytes(self.entropy.bytes());
        if !self.store.take_lease(TASK, holder, self.clock.now(), LEASE).await? {
            return Ok(Turn::HeldElsewhere);
        }
        let swept = self.sweep_every_kind().await;
        // Also after a failure, so that any replica can take the next turn.
        self.store.end_lease(TASK, holder, self.clock.now()).await?;
        swept.map(|()| Turn::Done)
    }

    /// A non-transient failure of one kind does not stop the others from being swept.
    async fn sweep_every_kind(&self) -> Result<(), Failure> {
        let now = self.clock.now();
        let mut failure = None;
        for kind in ExpiredRows::ALL {
            let Some(before) = self.policy.expired_before(kind, now) else { continue };
            match self.sweep(kind, before).await {
                Err(error) if error.is_transient() => return Err(error.into()),
                outcome => failure = failure.or(outcome.err()),
            }
        }
        failure.map_or(Ok(()), |error| Err(error.into()))
    }

    async fn sweep(&self, kind: ExpiredRows, before: DateTime<Utc>) -> Result<(), StoreError> {
        let batches =
            if kind == ExpiredRows::DeviceChallenges { DEVICE_CHALLENGE_BATCHES_PER_TURN } else { BATCHES_PER_TURN };
        for _ in 0..batches {
            let swept = self.store.sweep(kind, before).await?;
            metrics::counter!("housekeeping_rows_total", "kind" => kind.as_str())
                .increment(u64::try_from(swept).unwrap_or(0));
            if swept < SWEEP_BATCH {
                break;
            }
        }
        Ok(())
    }
}

impl Policy {
    /// Rows of this kind that ended before this instant are removed. `None` keeps all.
    fn expired_before(&self, kind: ExpiredRows, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match kind {
            ExpiredRows::Bindings | ExpiredRows::Codes | ExpiredRows::ActivationCodes => {
                Some(now - self.retention.challenges)
            }
            ExpiredRows::DeviceChallenges => Some(now - REPEAT_WINDOW - SKEW_MAX),
            ExpiredRows::Outcomes => Some(now - OUTCOMES_STORED_FOR),
            ExpiredRows::Messages => Some(now - WINDOW_MAX),
            ExpiredRows::Secrets => Some(now),
            ExpiredRows::Conversion => Some(self.sms_conversion.judged(now, self.challenge_life).start - WINDOW_MAX),
            ExpiredRows::Assessments => self.retention.assessments.map(|kept_for| now - kept_for),
            ExpiredRows::ApprovalTexts => self.retention.approval_texts.map(|kept_for| now - kept_for),
        }
    }
}
