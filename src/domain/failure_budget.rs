//! The failure budget of a person: how many wrong answers are allowed before a pause (docs/api-design.md#limits).
//!
//! Wrong signatures for devices and keys and wrong number tokens count together. Success resets the count, a new
//! challenge does not. After the pause the count starts at zero.
//!
//! No I/O: the statements of `store::persons::failures` and `store::challenges::binding_outcomes` implement the same
//! rule, and a test compares them with these functions.

use chrono::{DateTime, TimeDelta, Utc};

/// The operator's rule. `cool_down` is at least `window`, and `cap` at least one, so no span of `window` has more than
/// `cap` failures without a success among them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FailureBudget {
    /// Failures in a row that start a pause.
    pub cap: i64,
    /// Consecutive failures of one row are less than this apart.
    pub window: TimeDelta,
    /// The length of the pause after the last failure.
    pub cool_down: TimeDelta,
}

/// The failures of a person in a row: since the last success or the last gap of `window`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FailureRun {
    /// How many.
    pub count: i64,
    /// When the last of them was; `None` when there is none.
    pub last: Option<DateTime<Utc>>,
}

impl FailureBudget {
    /// A failure now continues the row if the previous one was after this instant.
    #[must_use]
    pub fn continued_since(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        now - self.window
    }

    /// A full run pauses the person now if its last failure lies between these two instants, both excluded. One further
    /// in the future was written by a wrong clock and does not pause.
    #[must_use]
    pub fn pausing_between(&self, now: DateTime<Utc>) -> (DateTime<Utc>, DateTime<Utc>) {
        (now - self.cool_down, now + self.cool_down)
    }

    /// The pause that is in effect now.
    #[must_use]
    pub fn pause(&self, run: FailureRun, now: DateTime<Utc>) -> Option<CoolingOff> {
        let (after, before) = self.pausing_between(now);
        let last = run.last.filter(|last| run.count >= self.cap && after < *last && *last < before)?;
        Some(CoolingOff { until: last + self.cool_down })
    }

    /// The run with one more failure. Unchanged during a pause, when no answer is verified.
    #[must_use]
    pub fn after_failure(&self, run: FailureRun, now: DateTime<Utc>) -> FailureRun {
        if self.pause(run, now).is_some() {
            return run;
        }
        let goes_on = run.count < self.cap && run.last.is_some_and(|last| last > self.continued_since(now));
        FailureRun { count: if goes_on { run.count + 1 } else { 1 }, last: Some(now) }
    }
}

/// The pause of a person whose failure budget is exhausted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CoolingOff {
    /// The first instant at which answers are verified again.
    pub until: DateTime<Utc>,
}

impl CoolingOff {
    /// The remaining wait in seconds, rounded up, at least one.
    #[must_use]
    pub fn retry_after_seconds(&self, now: DateTime<Utc>) -> u64 {
        let millis = (self.until - now).num_milliseconds().max(1);
        u64::try_from(millis).unwrap_or(1).div_ceil(1000)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn start() -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000, 0).unwrap()
    }

    #[test]
    fn the_wait_is_rounded_up_to_whole_seconds() {
        let now = start();
        let wait = |millis| CoolingOff { until: now + TimeDelta::milliseconds(millis) }.retry_after_seconds(now);
        assert_eq!([wait(-5), wait(1), wait(1000), wait(1001)], [1, 1, 1, 2]);
    }

    fn budgets() -> impl Strategy<Value = FailureBudget> {
        (1_i64..=6, 1_i64..=1800, 0_i64..=1800).prop_map(|(cap, window, longer)| FailureBudget {
            cap,
            window: TimeDelta::seconds(window),
            cool_down: TimeDelta::seconds(window + longer),
        })
    }

    /// Gaps between answers, dense around the window and the end of the pause, the boundaries of the rule.
    fn gaps() -> impl Strategy<Value = Vec<(u8, i64)>> {
        vec((0_u8..4, -2_000_000_i64..=2_000_000), 1..80)
    }

    fn gap(budget: &FailureBudget, (around, micros): (u8, i64)) -> TimeDelta {
        let gap = match around {
            0 => TimeDelta::microseconds(micros * 1000),
            1 => budget.window + TimeDelta::microseconds(micros),
            2 => budget.cool_down + TimeDelta::microseconds(micros),
            _ => TimeDelta::microseconds(micros),
        };
        gap.max(TimeDelta::zero())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

        #[test]
        fn no_window_has_more_failures_than_the_cap(budget in budgets(), gaps in gaps()) {
            let (mut run, mut now, mut counted) = (FailureRun::default(), start(), Vec::new());
            for step in gaps {
                now += gap(&budget, step);
                if budget.pause(run, now).is_none() {
                    run = budget.after_failure(run, now);
                    counted.push(now);
                }
            }
            let cap = usize::try_from(budget.cap).unwrap();
            for more_than_allowed in counted.windows(cap + 1) {
                prop_assert!(more_than_allowed[cap] - more_than_allowed[0] >= budget.window);
            }
        }

        #[test]
        fn a_full_run_pauses_for_the_whole_cool_down_and_no_longer(budget in budgets(), step in 0_i64..1_000_000) {
            let (mut run, mut now) = (FailureRun::default(), start());
            for _ in 0..budget.cap {
                prop_assert_eq!(budget.pause(run, now), None);
                now += TimeDelta::microseconds(step);
                run = budget.after_failure(run, now);
            }
            let until = now + budget.cool_down;
            let last_moment = until - TimeDelta::microseconds(1);
            prop_assert_eq!(budget.pause(run, last_moment), Some(CoolingOff { until }));
            prop_assert_eq!(budget.pause(run, until), None);
            prop_assert_eq!(budget.after_failure(run, until).count, 1);
        }

        #[test]
        fn a_failure_counted_by_a_clock_that_runs_ahead_pauses_for_at_most_twice_the_cool_down(
            budget in budgets(),
            ahead in 0_i64..100_000_000,
        ) {
            let now = start();
            let run = FailureRun { count: budget.cap, last: Some(now + TimeDelta::seconds(ahead)) };
            if let Some(pause) = budget.pause(run, now) {
                prop_assert!(pause.until - now <= budget.cool_down * 2);
            }
            prop_assert_eq!(budget.pause(run, now + budget.cool_down * 2).is_some_and(|it| it.until <= now), false);
        }
    }
}
