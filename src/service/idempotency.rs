//! Requests that may be sent twice and take effect once.
//!
//! A request with a key claims it, runs, and ends. What its work has kept is the outcome of every repetition; when it kept
//! nothing, the key is free again. The order is claim, work, end; the work itself keeps the outcome, in the commit of its
//! change.

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
    /// What makes two requests the same one.
    pub scope: [u8; 32],
    /// Keyed digests of its body.
    pub digests: Vec<[u8; 32]>,
    /// The person in its path, if there is one.
    pub person: Option<PersonId>,
    /// Its id.
    pub request_id: String,
}

/// What a request comes to.
pub struct Answer<T> {
    /// What its use case says, or said the first time.
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
    /// Lets the work of a request run, once if it has an idempotency key: a repetition gets the outcome that was kept.
    ///
    /// The run ends also when the work panics, so that the key is not busy until the lease is over; the panic goes on.
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
            // The caller gets the answer all the same; a repetition waits until the lease is over.
            tracing::warn!(error = &error as &dyn std::error::Error, "a request with an idempotency key was not ended");
        }
        outcome.unwrap_or_else(|panic| resume_unwind(panic)).into()
    }
}

/// What was kept, read again. An error of the JSON reader may repeat what it found, so it goes no further.
fn past_answer<T: DeserializeOwned>(outcome: &str, request_id: String) -> Answer<T> {
    match serde_json::from_str::<Result<T, Refusal>>(outcome) {
        Ok(outcome) => Answer { outcome: outcome.map_err(NotDone::from), repeats: Some(request_id) },
        Err(_) => Err(NotDone::from(StoreError::Corrupt { column: "outcome" })).into(),
    }
}

/// Runs to the end or to a panic, which is handed on. The panic hook has logged it by then.
async fn unwinding<T>(work: impl Future<Output = T>) -> thread::Result<T> {
    let mut work = pin!(work);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}
