//! Removes what is no longer needed. One replica at a time, in small batches.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{Failure, Policy, Service};
use crate::domain::idempotency::ANSWERS_KEPT_FOR;
use crate::domain::sms::limits::WINDOW_MAX;
use crate::store::{ExpiredRows, SWEEP_BATCH, StoreError};

/// Batches of one kind in one turn; the rest waits for the next turn.
const BATCHES_PER_TURN: usize = 100;

/// The longest life of the lease, on the clock of any replica: for so long a replica that died half way is waited for.
const LEASE: TimeDelta = TimeDelta::minutes(5);

const TASK: &str = "housekeeping";

/// For how long things are kept that could still be asked about.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Expired challenges and codes.
    pub challenges: TimeDelta,
    /// Fraud assessments; `None` keeps them for ever.
    pub assessments: Option<TimeDelta>,
}

/// What became of a turn of background work that did not fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    /// The work was done.
    Done,
    /// Another replica holds the lease, and nothing was done here.
    HeldElsewhere,
}

impl Service {
    /// Sweeps every kind once, unless another replica does.
    pub async fn keep_house(&self) -> Result<Turn, Failure> {
        let holder = Uuid::from_bytes(self.entropy.bytes());
        if !self.store.take_lease(TASK, holder, self.clock.now(), LEASE).await? {
            return Ok(Turn::HeldElsewhere);
        }
        let swept = self.sweep_every_kind().await;
        // Also after a failure: the next turn is any replica's.
        self.store.end_lease(TASK, holder, self.clock.now()).await?;
        swept.map(|()| Turn::Done)
    }

    /// A kind that cannot be swept keeps no other from it.
    async fn sweep_every_kind(&self) -> Result<(), Failure> {
        let now = self.clock.now();
        let mut failure = None;
        for litter in ExpiredRows::ALL {
            let Some(before) = self.policy.useless_before(litter, now) else { continue };
            match self.sweep(litter, before).await {
                Err(error) if error.is_transient() => return Err(error.into()),
                outcome => failure = failure.or(outcome.err()),
            }
        }
        failure.map_or(Ok(()), |error| Err(error.into()))
    }

    async fn sweep(&self, litter: ExpiredRows, before: DateTime<Utc>) -> Result<(), StoreError> {
        for _ in 0..BATCHES_PER_TURN {
            let swept = self.store.sweep(litter, before).await?;
            metrics::counter!("housekeeping_rows_total", "kind" => litter.as_str())
                .increment(u64::try_from(swept).unwrap_or(0));
            if swept < SWEEP_BATCH {
                break;
            }
        }
        Ok(())
    }
}

impl Policy {
    /// What of this kind ended before this instant is needed no more. `None` keeps all of it.
    fn useless_before(&self, litter: ExpiredRows, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match litter {
            ExpiredRows::Bindings | ExpiredRows::Codes => Some(now - self.retention.challenges),
            ExpiredRows::Answers => Some(now - ANSWERS_KEPT_FOR),
            ExpiredRows::Messages => Some(now - WINDOW_MAX),
            ExpiredRows::Secrets => Some(now),
            ExpiredRows::Conversion => Some(self.sms_conversion.judged(now, self.challenge_life).start - WINDOW_MAX),
            ExpiredRows::Assessments => self.retention.assessments.map(|kept_for| now - kept_for),
        }
    }
}
