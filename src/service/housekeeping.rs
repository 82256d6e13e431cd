//! Removes what nobody needs any more. One replica at a time, in small batches.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{Failure, Service};
use crate::domain::idempotency::ANSWERS_KEPT_FOR;
use crate::domain::sms_limits::WINDOW_MAX;
use crate::store::Litter;

/// Rows in one commit.
const BATCH: i64 = 500;

/// Batches of one kind in one turn; the rest has time.
const BATCHES_PER_TURN: usize = 100;

/// For how long a replica that died half way is waited for.
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

impl Service {
    /// Sweeps everything once, unless another replica is at it.
    pub async fn keep_house(&self) -> Result<(), Failure> {
        let (now, holder) = (self.clock.now(), Uuid::from_bytes(self.entropy.bytes()));
        if !self.store.lease(TASK, holder, now, now + LEASE).await? {
            return Ok(());
        }
        let retention = self.policy.retention;
        let assessments = retention.assessments.map(|kept_for| (Litter::Assessments, now - kept_for));
        let ends = [
            (Litter::Attempts, now - retention.challenges),
            (Litter::Codes, now - retention.challenges),
            (Litter::Answers, now - ANSWERS_KEPT_FOR),
            (Litter::Messages, now - WINDOW_MAX),
            (Litter::Secrets, now),
        ];
        for (litter, before) in ends.into_iter().chain(assessments) {
            self.sweep(litter, before).await?;
        }
        let judged = self.policy.sms_conversion.judged(now, self.policy.challenge_life).start;
        self.store.forget_sms_conversion(judged - WINDOW_MAX, BATCH).await?;
        self.store.lease(TASK, holder, now, now).await?;
        Ok(())
    }

    async fn sweep(&self, litter: Litter, before: DateTime<Utc>) -> Result<(), Failure> {
        for _ in 0..BATCHES_PER_TURN {
            let swept = self.store.sweep(litter, before, BATCH).await?;
            metrics::counter!("housekeeping_rows_total", "kind" => litter.as_str())
                .increment(u64::try_from(swept).unwrap_or(0));
            if swept < usize::try_from(BATCH).unwrap_or(0) {
                break;
            }
        }
        Ok(())
    }
}
