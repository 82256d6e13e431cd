//! Requests that may be sent twice and must take effect once (contract section 1.2).
//!
//! What is kept of a request are digests, and of its answer the answer itself: neither holds an OTP, a signature, a token
//! or `device_data`.

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::person::{PartnerId, PersonId};

/// The longest key.
pub const KEY_MAX: usize = 255;

/// What makes two requests the same one: SHA-256 over partner, client, method, path and key, each behind its length. The
/// partner too, because an identity provider may know one client by the same name at two of them.
#[must_use]
pub fn scope(partner: &PartnerId, client_id: &str, method: &str, path: &str, key: &str) -> [u8; 32] {
    let mut digest = Sha256::new();
    for part in [partner.as_str(), client_id, method, path, key] {
        digest.update(part.len().to_be_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

/// For how long an answer is given again.
pub const ANSWERS_KEPT_FOR: TimeDelta = TimeDelta::hours(24);

/// For how long a request without an answer keeps others with its key waiting. Longer than any request takes; after it, a
/// process that died half way is no longer waited for.
pub const LEASE: TimeDelta = TimeDelta::seconds(60);

/// One run of a request with an idempotency key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClaimId(Uuid);

impl ClaimId {
    /// The bare id, for the database.
    #[must_use]
    pub fn uuid(self) -> Uuid {
        self.0
    }
}

impl From<Uuid> for ClaimId {
    fn from(id: Uuid) -> Self {
        Self(id)
    }
}

/// A request with an idempotency key, about to run.
#[derive(Clone, Debug)]
pub struct Claim {
    /// This run.
    pub id: ClaimId,
    /// Digest of client, method, path and key: what makes two requests the same one.
    pub scope: [u8; 32],
    /// Keyed digests of the body under each secret in force, the current one first: what must then be the same too.
    pub digests: Vec<[u8; 32]>,
    /// Whose client it is.
    pub partner: PartnerId,
    /// The person in the path, if there is one.
    pub person: Option<PersonId>,
    /// Now.
    pub at: DateTime<Utc>,
}

/// An answer as it is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredAnswer {
    /// The HTTP status, below 500.
    pub status: u16,
    /// JSON, or nothing.
    pub body: Vec<u8>,
    /// The seconds of `Retry-After`.
    pub retry_after: Option<u64>,
}

/// What the commit of the work does for the claim that it runs under.
#[derive(Clone, Debug)]
pub struct KeptAnswer {
    /// The claim. When it is no longer in force, the work must not take effect.
    pub claim: ClaimId,
    /// The answer that retries get from now on; `None` when the work came to nothing and a retry should run anew.
    pub answer: Option<StoredAnswer>,
}

/// What became of a claim.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Claimed {
    /// The request may run.
    Yes,
    /// It ran before; this was the answer.
    Answered(StoredAnswer),
    /// It runs right now, or its process died a moment ago.
    Running {
        /// When it is no longer waited for.
        until: DateTime<Utc>,
    },
    /// The key was used for another body.
    OtherRequest,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_of_two_partners_repeats_no_request_of_the_other() {
        let of = |partner| scope(&PartnerId::parse(partner).unwrap(), "a-client", "POST", "/v1/mfa/devices", "a-key");
        assert_eq!(of("acme"), of("acme"));
        assert_ne!(of("acme"), of("globex"));
    }
}
