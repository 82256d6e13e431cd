//! Requests that may be sent twice and must take effect once (docs/api-design.md#idempotency-keys).
//!
//! What is kept of a request are digests, and of what became of it the outcome of the use case: neither holds an OTP, a
//! signature, a token or `device_data`.

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

/// For how long an outcome is told again.
pub const ANSWERS_KEPT_FOR: TimeDelta = TimeDelta::hours(24);

/// For how long a request without an answer keeps others with its key waiting. Longer than any request takes; after it, a
/// process that died half way is no longer waited for.
pub const LEASE: TimeDelta = TimeDelta::seconds(60);

/// One run of a request with an idempotency key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Run {
    /// Digest of partner, client, method, path and key: what makes two requests the same one.
    pub scope: [u8; 32],
    /// The claim of this run: the row of the scope names the run that may take effect.
    pub claim_id: Uuid,
    /// The id of its request, which the errors of its outcome name.
    pub request_id: String,
}

/// A run that is about to begin.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The run.
    pub run: Run,
    /// Keyed digests of the body under each secret in force, the current one first: what must then be the same too.
    pub digests: Vec<[u8; 32]>,
    /// Whose client it is.
    pub partner: PartnerId,
    /// The person in the path, if there is one.
    pub person: Option<PersonId>,
    /// Now.
    pub at: DateTime<Utc>,
}

/// What the commit of the work does for the run that it belongs to.
#[derive(Clone, Debug)]
pub struct KeptOutcome {
    /// The run. When its claim is no longer in force, the work must not take effect.
    pub run: Run,
    /// The outcome of the use case as JSON, for every repetition from now on; `None` when the work came to nothing and a
    /// repetition should run anew.
    pub outcome: Option<String>,
}

/// What was kept of a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PastOutcome {
    /// The outcome of the use case as JSON.
    pub outcome: String,
    /// The id of the request that ran.
    pub request_id: String,
}

/// What became of a claim.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Claimed {
    /// The request may run.
    Yes,
    /// It ran before; this is what became of it.
    Before(PastOutcome),
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
