//! Failures that any use case can return.

use crate::store::StoreError;

/// A failure that is not the caller's fault.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The store could not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Concurrent requests won the race in every retry, or another run has taken over the idempotency key.
    #[error("overtaken by concurrent requests")]
    Overtaken,
    /// The secret that a challenge's code was derived from is not configured in this process.
    #[error("the one-time-code secret with version {version} is not configured")]
    MissingOtpSecret {
        /// The version that is stored with the challenge.
        version: u32,
    },
}
