//! Idempotency keys: a request that is sent twice takes effect once (docs/api-design.md#idempotency-keys).
//!
//! The service stores digests of the request and the outcome of the use case. Neither contains a code, a signature, a
//! token or `device_data`.

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::person::{PartnerId, PersonId};

/// The longest idempotency key, in bytes.
pub const KEY_MAX: usize = 255;

/// Identifies a request: SHA-256 over partner, client, method, path and key, each prefixed by its length. The partner
/// is included because an external identity provider may use one client id for two partners.
#[must_use]
pub fn scope(partner: &PartnerId, client_id: &str, method: &str, path: &str, key: &str) -> [u8; 32] {
    let mut digest = Sha256::new();
    for part in [partner.as_str(), client_id, method, path, key] {
        digest.update(part.len().to_be_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

/// How long a stored outcome is returned to repetitions.
pub const OUTCOMES_STORED_FOR: TimeDelta = TimeDelta::hours(24);

/// How long an unfinished request blocks others with the same key. Longer than any request takes, so it only ends
/// claims of processes that crashed.
pub const LEASE: TimeDelta = TimeDelta::seconds(60);

/// One run of a request with an idempotency key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Run {
    /// See [`scope`].
    pub scope: [u8; 32],
    /// The claim of this run: the row of the scope holds the claim that may take effect.
    pub claim_id: Uuid,
    /// The id of its request, for `errors[].id` of its outcome.
    pub request_id: String,
}

/// The input of the write that claims a key.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The run.
    pub run: Run,
    /// Keyed digests of the body under each secret in force, the current one first. A repetition must have the same
    /// body.
    pub digests: Vec<[u8; 32]>,
    /// The partner of the client.
    pub partner: PartnerId,
    /// The person in the path, if there is one.
    pub person: Option<PersonId>,
    /// Now.
    pub at: DateTime<Utc>,
}

/// The outcome that the commit of a use case stores for its run.
#[derive(Clone, Debug)]
pub struct OutcomeToStore {
    /// The run. If its claim is no longer in force, the commit must be rolled back.
    pub run: Run,
    /// The outcome of the use case as JSON, returned to every repetition; `None` frees the key, so that a repetition
    /// runs again.
    pub outcome: Option<String>,
    /// The person that the request is about, if it is known: the outcome is erased with them.
    pub person: Option<PersonId>,
}

/// The stored outcome of an earlier run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredOutcome {
    /// The outcome of the use case as JSON.
    pub outcome: String,
    /// The id of the request that ran.
    pub request_id: String,
}

/// The result of claiming a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Claimed {
    /// The request may run.
    Yes,
    /// It ran before, with this outcome.
    Before(StoredOutcome),
    /// It is still running, or its process crashed less than [`LEASE`] ago.
    Running {
        /// When the claim expires.
        until: DateTime<Utc>,
    },
    /// The key was used with a different body.
    OtherRequest,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_client_id_at_two_partners_has_different_scopes() {
        let of = |partner| scope(&PartnerId::parse(partner).unwrap(), "a-client", "POST", "/v1/mfa/devices", "a-key");
        assert_eq!(of("acme"), of("acme"));
        assert_ne!(of("acme"), of("globex"));
    }
}
