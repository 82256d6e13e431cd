//! What any use case may run into, whatever it is about.

use crate::store::StoreError;

/// A failure that is not the caller's fault.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The store could not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Other requests came in between again and again, or another run of the same request has taken over.
    #[error("other requests came in between")]
    Overtaken,
    /// A challenge was made under a secret that this process does not have.
    #[error("the one-time-code secret with version {version} is not configured")]
    MissingOtpSecret {
        /// The version that the challenge names.
        version: u32,
    },
}
