//! Requests that may be sent twice and take effect once (contract section 1.2).

use chrono::{DateTime, Utc};

use super::{Failure, Service};
use crate::domain::clients::Caller;
use crate::domain::id::uuid_v7;
use crate::domain::idempotency::{Claim, ClaimId, Claimed};
use crate::domain::person::PersonId;

/// A request with an idempotency key.
pub struct RepeatableRequest {
    /// What makes two requests the same one.
    pub scope: [u8; 32],
    /// Keyed digests of its body.
    pub digests: Vec<[u8; 32]>,
    /// The person in its path, if there is one.
    pub person: Option<PersonId>,
}

impl Service {
    /// Lets the request run, once, under the claim that it gets; or tells why not.
    pub async fn claim_request(
        &self,
        caller: &Caller,
        request: RepeatableRequest,
    ) -> Result<(ClaimId, Claimed), Failure> {
        let at = self.clock.now();
        let id = ClaimId::from(uuid_v7(at, self.entropy.bytes()));
        let RepeatableRequest { scope, digests, person } = request;
        let claim = Claim { id, scope, digests, partner: caller.partner.clone(), person, at };
        Ok((id, self.store.claim_request(&claim).await?))
    }

    /// Ends a request. What its work has kept is the answer for every repetition; without that the key is free again.
    pub async fn end_request(&self, caller: &Caller, claim: ClaimId) -> Result<(), Failure> {
        Ok(self.store.end_request(&caller.partner, claim, self.clock.now()).await?)
    }

    /// For how many seconds a request that still runs is waited for.
    #[must_use]
    pub fn seconds_until(&self, until: DateTime<Utc>) -> u64 {
        let millis = (until - self.clock.now()).num_milliseconds().max(1);
        u64::try_from(millis).unwrap_or(1).div_ceil(1000)
    }
}
