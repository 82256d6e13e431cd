//! Instants in the database that a clock which was wrong has written.
//!
//! The clock of the replica that answers decides, and other replicas read what it wrote. A clock that was days ahead leaves
//! instants that nothing would reach for days. So whatever lasts for a limited time has a latest end, seen from now: an
//! instant beyond it counts as if it were over. See `docs/operations.md`, Clocks.

use chrono::{DateTime, TimeDelta, Utc};

/// How far the clocks of two replicas may be apart before one of them counts as wrong.
pub const SKEW_MAX: TimeDelta = TimeDelta::minutes(1);

/// The latest instant at which something can end that lasts this long and has begun by now.
#[must_use]
pub fn latest_end(now: DateTime<Utc>, longest: TimeDelta) -> DateTime<Utc> {
    now + longest + SKEW_MAX
}
