//! Idempotency keys: a request that is sent twice takes effect once.
//!
//! The order is claim, work, end. The work stores its outcome in the commit of its change, and every repetition gets
//! that outcome. If it stored none, ending the run frees the key.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::task::Poll;
use std::thread;

use serde::de::DeserializeOwned;

use super::{NotDone, Refusal, Service};
use crate::domain::clients::Caller;
use crate::domain::id::uuid_v7;
use crate::domain::idempotency::{Claim, Claimed, Run};
use crate::domain::person::PersonId;
use crate::store::StoreError;

/// A request with an idempotency key.
pub struct RepeatableRequest {
    /// Identifies the request: see [`scope`](crate::domain::idempotency::scope).
    pub scope: [u8; 32],
    /// Keyed digests of its body, one per secret in force.
    pub digests: Vec<[u8; 32]>,
    /// The person in its path, if there is one.
    pub person: Option<PersonId>,
    /// The request id.
    pub request_id: String,
}

/// The result of a request.
pub struct Answer<T> {
    /// The outcome of the use case, or the stored outcome of the first run.
    pub outcome: Result<T, NotDone>,
    /// The id of the request that ran, when this one repeats it.
    pub repeats: Option<String>,
}

impl<T> From<Result<T, NotDone>> for Answer<T> {
    fn from(outcome: Result<T, NotDone>) -> Self {
        Self { outcome, repeats: None }
    }
}

impl Service {
    /// Runs the work of a request, only once if it has an idempotency key: a repetition gets the stored outcome.
    ///
    /// A panic of the work also ends the run, so that the key is not blocked until the lease expires; then unwinding
    /// resumes.
    pub async fn once<T: DeserializeOwned>(
        &self,
        caller: &Caller,
        request: Option<RepeatableRequest>,
        work: impl AsyncFnOnce(Option<Run>) -> Result<T, NotDone>,
    ) -> Answer<T> {
        let Some(RepeatableRequest { scope, digests, person, request_id }) = request else {
            return work(None).await.into();
        };
        let at = self.clock.now();
        let run = Run { scope, claim_id: uuid_v7(at, self.entropy.bytes()), request_id };
        let claim = Claim { run: run.clone(), digests, partner: caller.partner.clone(), person, at };
        match self.store.claim_request(&claim).await {
            Ok(Claimed::Yes) => {}
            Ok(Claimed::Before(past)) => return past_answer(&past.outcome, past.request_id),
            Ok(Claimed::Running { until }) => {
                let millis = (until - self.clock.now()).num_milliseconds().max(1);
                let retry_after = u64::try_from(millis).unwrap_or(1).div_ceil(1000);
                return Err(NotDone::from(Refusal::StillRunning { retry_after })).into();
            }
            Ok(Claimed::OtherRequest) => return Err(NotDone::from(Refusal::KeyReused)).into(),
            Err(error) => return Err(NotDone::from(error)).into(),
        }
        let outcome = unwinding(work(Some(run.clone()))).await;
        if let Err(error) = self.store.end_request(&caller.partner, &run, self.clock.now()).await {
            // The caller gets the response nevertheless; repetitions are refused until the lease expires.
            tracing::warn!(error = &error as &dyn std::error::Error, "idempotency key not released");
        }
        outcome.unwrap_or_else(|panic| resume_unwind(panic)).into()
    }
}

/// Parses a stored outcome. The error of the JSON parser may quote its input, so it is dropped.
fn past_answer<T: DeserializeOwned>(outcome: &str, request_id: String) -> Answer<T> {
    match serde_json::from_str::<Result<T, Refusal>>(outcome) {
        Ok(outcome) => Answer { outcome: outcome.map_err(NotDone::from), repeats: Some(request_id) },
        Err(_) => Err(NotDone::from(StoreError::Corrupt { column: "outcome" })).into(),
    }
}

/// Runs to completion or to a panic, which is returned. The panic hook has logged it by then.
async fn unwinding<T>(work: impl Future<Output = T>) -> thread::Result<T> {
    let mut work = pin!(work);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}
