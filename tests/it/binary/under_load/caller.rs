//! A client that loses answers and retries.

use std::sync::Arc;

use rand::RngExt;
use rand::rngs::StdRng;

use super::acknowledged::Figures;
use super::processes::{Processes, Request};
use super::sms_gateway::SmsGateway;
use crate::harness::Answer;

pub(super) struct Caller {
    pub(super) number: u32,
    pub(super) gateway: Arc<SmsGateway>,
    pub(super) random: StdRng,
    pub(super) figures: Figures,
    pub(super) processes: Arc<Processes>,
    /// The number of persons, phones and keys made so far, to keep them unique.
    made: u32,
}

/// The final answer.
pub(super) struct Outcome {
    pub(super) answer: Answer,
    /// The number of answers lost before it.
    pub(super) cut: usize,
}

impl Outcome {
    pub(super) fn status(&self) -> u16 {
        self.answer.status.as_u16()
    }

    pub(super) fn is_replayed(&self) -> bool {
        self.answer.headers.contains_key("idempotency-replayed")
    }
}

impl Caller {
    pub(super) fn new(number: u32, processes: Arc<Processes>, gateway: Arc<SmsGateway>, random: StdRng) -> Self {
        Self { number, gateway, random, figures: Figures::default(), processes, made: 0 }
    }

    /// A number that is unique among all callers.
    pub(super) fn unique(&mut self) -> u32 {
        self.made += 1;
        assert!(self.made < 1_000_000, "callers do not share numbers");
        self.number * 1_000_000 + self.made
    }

    /// Sends a request to one of the replicas; `None` when the answer is lost.
    pub(super) async fn once(&mut self, request: &Request) -> Option<Answer> {
        let replica = self.random.random_range(0..self.processes.size());
        self.at(replica, request).await
    }

    /// Sends a request to this replica; `None` when the answer is lost.
    pub(super) async fn at(&mut self, replica: usize, request: &Request) -> Option<Answer> {
        let answer = self.processes.send(request, replica).await;
        let count = self.figures.count(request.kind, request.key.is_some());
        match &answer {
            Some(_) => count.answered += 1,
            None => count.cut += 1,
        }
        answer
    }

    /// Retries a request until its answer arrives: `right`, or one of `again` if an earlier attempt without a key may
    /// have taken effect. With a key, every fourth request is sent once more and must get the same status: replayed if
    /// the request changed something.
    pub(super) async fn until_answered(&mut self, request: &Request, right: &[u16], again: &[u16]) -> Outcome {
        let outcome = self.repeat(request).await;
        let status = outcome.status();
        let is_right = right.contains(&status) || (outcome.cut > 0 && request.key.is_none() && again.contains(&status));
        let Request { method, path, .. } = request;
        assert!(is_right, "{method} {path}: {status} after {} lost answers: {:?}", outcome.cut, outcome.answer.body);
        if request.key.is_some() && self.random.random_ratio(1, 4) {
            let repeated = self.repeat(request).await;
            // 404 changed nothing and is not stored: the request runs again, and the error has another id.
            let is_kept = status != 404;
            assert_eq!((repeated.status(), repeated.is_replayed()), (status, is_kept), "{method} {path}");
            assert!(
                !is_kept || repeated.answer.body == outcome.answer.body,
                "{method} {path}: the replayed body differs"
            );
        }
        outcome
    }

    async fn repeat(&mut self, request: &Request) -> Outcome {
        let mut cut = 0;
        loop {
            let Some(answer) = self.once(request).await else {
                cut += 1;
                continue;
            };
            if request.key.is_some() && is_still_running(&answer) {
                self.figures.expired_claims += 1;
                self.processes.expire_claim(request).await;
                continue;
            }
            let outcome = Outcome { answer, cut };
            self.figures.replayed += usize::from(outcome.is_replayed());
            return outcome;
        }
    }
}

/// Whether another request holds the key. Only this caller uses the key, so that request's process was killed.
fn is_still_running(answer: &Answer) -> bool {
    let still_runs = "the first request with this Idempotency-Key is still running; retry later";
    answer.status == 409 && answer.json()["errors"][0]["detail"] == still_runs
}
