//! The clock of the sandbox: real time plus an offset that only grows.
//!
//! The offset is in memory: a restart returns to real time, and other processes on the same database do not have it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};

use crate::clock::Clock;

/// The maximum of one advance, in seconds: ten years.
pub const ADVANCE_MAX: i64 = 10 * 365 * 86_400;

/// The maximum of all advances, in seconds. Instants stay far below the year 9999, the last one of RFC 3339.
const TOTAL_MAX: i64 = 10 * ADVANCE_MAX;

/// The sum of all advances would exceed its maximum.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("must be at most {left}: the clock goes forward by 100 years at most; restart the service for real time")]
pub struct TooFar {
    /// By how many seconds the clock can still be advanced.
    pub left: i64,
}

/// A clock that can be moved forward, never back.
pub struct SandboxClock {
    real: Arc<dyn Clock>,
    advanced: AtomicI64,
}

impl SandboxClock {
    pub(super) fn new(real: Arc<dyn Clock>) -> Self {
        Self { real, advanced: AtomicI64::new(0) }
    }

    /// Moves the clock forward by 1 to [`ADVANCE_MAX`] seconds.
    ///
    /// # Errors
    /// When the sum of all advances would exceed 100 years. The clock is not moved then.
    pub fn advance(&self, seconds: i64) -> Result<(), TooFar> {
        debug_assert!((1..=ADVANCE_MAX).contains(&seconds), "{seconds}");
        let moved = |advanced: i64| Some(advanced + seconds).filter(|total| *total <= TOTAL_MAX);
        match self.advanced.fetch_update(Ordering::SeqCst, Ordering::SeqCst, moved) {
            Ok(before) => {
                tracing::info!(seconds, advanced_seconds = before + seconds, "sandbox clock advanced");
                Ok(())
            }
            Err(advanced) => Err(TooFar { left: TOTAL_MAX - advanced }),
        }
    }

    /// By how many seconds the clock is ahead of real time.
    #[must_use]
    pub fn advanced_seconds(&self) -> i64 {
        self.advanced.load(Ordering::SeqCst)
    }
}

impl Clock for SandboxClock {
    fn now(&self) -> DateTime<Utc> {
        self.real.now() + TimeDelta::seconds(self.advanced_seconds())
    }
}
