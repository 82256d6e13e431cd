//! Doubles of time and randomness: a clock that stands still until a test moves it, and reproducible bytes.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use device_management::clock::Clock;
use device_management::entropy::Entropy;
use sha2::{Digest, Sha256};

/// A clock that only a test moves.
pub(crate) struct ManualClock(Mutex<DateTime<Utc>>);

impl ManualClock {
    /// Starts at the time in the published sample, plus a fraction of a second that the API must not show.
    pub(crate) fn new() -> Self {
        let start = "2022-03-18T14:50:04.123456Z".parse().expect("an RFC 3339 instant");
        Self(Mutex::new(start))
    }

    pub(crate) fn advance(&self, by: TimeDelta) {
        *self.0.lock().expect("the lock is not poisoned") += by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().expect("the lock is not poisoned")
    }
}

/// Pseudo-random bytes, the same in every run. Replicas that share a database must not share these.
pub(crate) struct RepeatableEntropy {
    replica: u64,
    blocks: AtomicU64,
}

impl RepeatableEntropy {
    pub(crate) fn of_replica(replica: u64) -> Self {
        Self { replica, blocks: AtomicU64::new(0) }
    }
}

impl Entropy for RepeatableEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            let number = self.blocks.fetch_add(1, Ordering::Relaxed);
            let block = Sha256::digest([self.replica.to_be_bytes(), number.to_be_bytes()].concat());
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
    }
}
