//! A bound against timestamps in the database that a replica with a wrong clock has written.
//!
//! Replicas use their own clocks and read each other's timestamps. A clock that ran days ahead leaves leases and pauses
//! that would last for days. So everything of limited duration has a latest plausible end: a timestamp beyond it counts
//! as expired. See `docs/operations.md#clock-skew`.

use chrono::{DateTime, TimeDelta, Utc};

/// The clock skew between two replicas above which one of the clocks counts as wrong.
pub const SKEW_MAX: TimeDelta = TimeDelta::minutes(1);

/// The latest plausible end of something that has started and lasts at most `longest`.
#[must_use]
pub fn latest_end(now: DateTime<Utc>, longest: TimeDelta) -> DateTime<Utc> {
    now + longest + SKEW_MAX
}
