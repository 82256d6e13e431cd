//! The clock, injected so that tests of expiry can set the time instead of waiting.

use chrono::{DateTime, DurationRound, TimeDelta, Utc};

/// A clock.
pub trait Clock: Send + Sync {
    /// The current time in whole microseconds, the precision of Postgres, so that a stored instant compares equal to
    /// the original.
    fn now(&self) -> DateTime<Utc>;
}

/// The system clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the only place that reads the system clock")]
    fn now(&self) -> DateTime<Utc> {
        let now = Utc::now();
        now.duration_trunc(TimeDelta::microseconds(1)).unwrap_or(now)
    }
}
