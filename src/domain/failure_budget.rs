//! How often a person may fail before everything pauses (contract section 7).
//!
//! Wrong signatures for devices and keys and wrong number tokens count together. A new challenge does not reset the count,
//! success does. After the cool-down the person starts afresh.

use chrono::{DateTime, TimeDelta, Utc};

/// The operator's rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FailureBudget {
    /// So many failures in a row, and nothing more is verified.
    pub cap: i64,
    /// How far apart the first and the last of them may lie.
    pub window: TimeDelta,
    /// For how long nothing is verified then.
    pub cool_down: TimeDelta,
}

impl FailureBudget {
    /// A run of failures that began at or before this instant is over: the next failure is the first of a new one.
    #[must_use]
    pub fn window_start(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        now - self.window
    }

    /// When a cool-down that begins now will end.
    #[must_use]
    pub fn cooling_until(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        now + self.cool_down
    }
}

/// A person whose budget is spent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CoolingOff {
    /// The first instant at which something is verified again.
    pub until: DateTime<Utc>,
}

impl CoolingOff {
    /// For how many seconds to wait, rounded up, at least one.
    #[must_use]
    pub fn retry_after_seconds(&self, now: DateTime<Utc>) -> u64 {
        let millis = (self.until - now).num_milliseconds().max(1);
        u64::try_from(millis).unwrap_or(1).div_ceil(1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_is_rounded_up_to_whole_seconds() {
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let wait = |millis| CoolingOff { until: now + TimeDelta::milliseconds(millis) }.retry_after_seconds(now);
        assert_eq!([wait(-5), wait(1), wait(1000), wait(1001)], [1, 1, 1, 2]);
    }
}
