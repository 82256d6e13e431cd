//! Exports spans over OTLP (HTTP, protobuf): a bounded queue and one task of the runtime.
//!
//! No request waits: when the queue is full, spans are dropped and counted. While the collector is unreachable or
//! overloaded, the task retries its batch with backoff, and the queue fills until its spans expire. The service logs the
//! first failure of each kind and the recovery. Every span is counted once, by its outcome.

use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use opentelemetry::Context;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use prost::Message;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, StatusCode, Url};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::outbound::read_up_to;

/// The size of the queue in spans, about 8 MiB.
const ROOM: usize = 8192;
/// The largest batch in spans.
const BATCH: usize = 512;
/// The pause before a batch, so that the task does not wake up for each span.
const PAUSE: Duration = Duration::from_millis(200);
/// The first and the longest pause between two tries.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// The longest pause that a collector can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(5);
/// A batch whose newest span is older is not retried, so that after an outage the queue has room for new spans.
const AGE_MAX: Duration = Duration::from_mins(5);
/// The largest answer that is read.
const ANSWER_MAX: usize = 64 * 1024;
/// The longest wait for the body of an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) const EXPORTED: &str = "exported";
pub(super) const QUEUE_FULL: &str = "queue_full";
/// Not accepted by the collector within [`AGE_MAX`].
pub(super) const EXPIRED: &str = "expired";
/// Refused by the collector.
pub(super) const REJECTED: &str = "rejected";
/// Not exported before the process ended.
pub(super) const LOST: &str = "lost";

fn count(outcome: &'static str, spans: usize) {
    metrics::counter!("trace_spans_total", "outcome" => outcome).increment(spans as u64);
}

/// Queues each span that ends.
#[derive(Debug)]
pub(super) struct Queue(Sender<SpanData>);

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        match self.0.try_send(span) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => count(QUEUE_FULL, 1),
            Err(TrySendError::Closed(_)) => count(LOST, 1),
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// The running task.
pub(super) struct Exporting {
    stop: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Exporting {
    pub(super) async fn finish(&self, deadline: Duration) {
        self.stop.cancel();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut task) = task
            && timeout(deadline, &mut task).await.is_err()
        {
            task.abort();
            // The task counts its spans when it is dropped.
            let _ = task.await;
        }
    }
}

/// Starts the task.
pub(super) fn start(exporter: Exporter) -> (Queue, Exporting) {
    let (queue, spans) = channel(ROOM);
    let stop = CancellationToken::new();
    let task = Task { exporter, spans, batch: Vec::new(), in_delivery: 0, stop: stop.clone(), failing: None };
    (Queue(queue), Exporting { stop, task: Mutex::new(Some(tokio::spawn(task.run()))) })
}

struct Task {
    exporter: Exporter,
    spans: Receiver<SpanData>,
    /// Received and not yet in delivery.
    batch: Vec<SpanData>,
    /// The number of spans that are being delivered.
    in_delivery: usize,
    stop: CancellationToken,
    /// The last failure, until a batch is accepted.
    failing: Option<Failure>,
}

impl Task {
    async fn run(mut self) {
        let stop = self.stop.clone();
        loop {
            let waited = stop.run_until_cancelled(async {
                let received = self.spans.recv_many(&mut self.batch, 1).await;
                sleep(PAUSE).await;
                received
            });
            match waited.await {
                Some(0) => return,
                Some(_) => {}
                None => self.spans.close(),
            }
            // Whole batches without a pause; after a smaller one the next spans collect during the pause. After the stop,
            // everything.
            loop {
                let room = BATCH - self.batch.len();
                if room > 0 && !self.spans.is_empty() {
                    self.spans.recv_many(&mut self.batch, room).await;
                }
                if self.batch.is_empty() {
                    break;
                }
                let spans = std::mem::take(&mut self.batch);
                let is_whole = spans.len() == BATCH;
                if !self.deliver(spans).await {
                    return;
                }
                if !is_whole && !stop.is_cancelled() {
                    break;
                }
            }
            if stop.is_cancelled() {
                return;
            }
        }
    }

    /// Exports a batch, and retries as long as the collector may accept it later. False if the task should end: the try
    /// after the stop has failed too.
    async fn deliver(&mut self, mut spans: Vec<SpanData>) -> bool {
        if self.failing == Some(Failure::Transient) {
            let received = spans.len();
            spans.retain(|span| !is_expired(span.end_time));
            count(EXPIRED, received - spans.len());
        }
        let Some(newest) = spans.iter().map(|span| span.end_time).max() else { return true };
        let number = spans.len();
        self.in_delivery = number;
        let body = self.exporter.encode(spans);
        let mut backoff = BACKOFF.0;
        loop {
            let is_last = self.stop.is_cancelled();
            let refusal = match self.exporter.post(body.clone()).await {
                Ok(rejected) => {
                    let rejected = rejected.min(number);
                    self.settle(REJECTED, rejected);
                    self.settle(EXPORTED, number - rejected);
                    if rejected == 0 {
                        self.recovered();
                    } else {
                        self.failed(&Refusal::Partly(rejected));
                    }
                    return true;
                }
                Err(refusal) => refusal,
            };
            self.failed(&refusal);
            let Some(pause) = refusal.pause(backoff) else {
                self.settle(REJECTED, number);
                return true;
            };
            if is_last {
                return false;
            }
            if is_expired(newest) {
                self.settle(EXPIRED, number);
                return true;
            }
            let _ = self.stop.run_until_cancelled(sleep(pause)).await;
            backoff = (backoff * 2).min(BACKOFF.1);
        }
    }

    fn settle(&mut self, outcome: &'static str, spans: usize) {
        count(outcome, spans);
        self.in_delivery -= spans;
    }

    fn failed(&mut self, refusal: &Refusal) {
        let failure = refusal.failure();
        if self.failing.replace(failure) == Some(failure) {
            return;
        }
        let cause: &(dyn Error + 'static) = refusal;
        match failure {
            Failure::Transient => tracing::warn!(cause, "trace export failed, will retry"),
            Failure::Final => tracing::error!(cause, "trace export refused"),
            Failure::Partial => tracing::warn!(cause, "trace export refused in part"),
        }
    }

    fn recovered(&mut self) {
        if self.failing.take().is_some() {
            tracing::info!("trace export recovered");
        }
    }
}

/// The task has ended, or was aborted at the deadline.
impl Drop for Task {
    fn drop(&mut self) {
        self.spans.close();
        let spans = self.in_delivery + self.batch.len() + self.spans.len();
        if spans > 0 {
            count(LOST, spans);
            tracing::warn!(spans, "trace spans lost, the collector did not accept them before the shutdown");
        }
    }
}

fn is_expired(ended: SystemTime) -> bool {
    ended.elapsed().is_ok_and(|age| age > AGE_MAX)
}

/// A kind of failure. The first of each kind is logged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Failure {
    Transient,
    Final,
    Partial,
}

/// Why spans were not accepted. The collector's own messages are not shown.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("the collector is unreachable")]
    Unreachable(#[source] reqwest::Error),
    #[error("the collector did not answer in time")]
    Timeout,
    /// With the pause that the collector asks for.
    #[error("the collector answered {0}")]
    Later(StatusCode, Option<Duration>),
    #[error("the collector answered {0}")]
    Final(StatusCode),
    #[error("the collector rejected {0} spans")]
    Partly(usize),
}

impl Refusal {
    fn failure(&self) -> Failure {
        match self {
            Self::Unreachable(_) | Self::Timeout | Self::Later(..) => Failure::Transient,
            Self::Final(_) => Failure::Final,
            Self::Partly(_) => Failure::Partial,
        }
    }

    /// The pause before the next try; `None` if there should be none.
    fn pause(&self, backoff: Duration) -> Option<Duration> {
        match self {
            Self::Unreachable(_) | Self::Timeout | Self::Later(_, None) => Some(backoff),
            Self::Later(_, Some(asked)) => Some((*asked).max(backoff).min(RETRY_AFTER_MAX)),
            Self::Final(_) | Self::Partly(_) => None,
        }
    }
}

/// Sends batches to a collector.
pub(super) struct Exporter {
    pub(super) http: Client,
    pub(super) endpoint: Url,
    pub(super) headers: HeaderMap,
    pub(super) timeout: Duration,
    pub(super) resource: ResourceAttributesWithSchema,
}

impl Exporter {
    fn encode(&self, spans: Vec<SpanData>) -> Bytes {
        let resource_spans = group_spans_by_resource_and_scope(spans, &self.resource);
        ExportTraceServiceRequest { resource_spans }.encode_to_vec().into()
    }

    /// Returns how many spans of the batch the collector rejected.
    async fn post(&self, body: Bytes) -> Result<usize, Refusal> {
        let request = self.http.post(self.endpoint.clone()).headers(self.headers.clone());
        let request = request.header(CONTENT_TYPE, "application/x-protobuf").body(body);
        let response = timeout(self.timeout, request.send()).await.map_err(|_| Refusal::Timeout)?;
        let response = response.map_err(|error| Refusal::Unreachable(error.without_url()))?;
        let status = response.status();
        if !status.is_success() {
            // OTLP specification, "Failures": these four may be retried.
            return Err(match status.as_u16() {
                429 | 502..=504 => Refusal::Later(status, retry_after(response.headers())),
                _ => Refusal::Final(status),
            });
        }
        // An answer that cannot be read, or not in time, is a success: a retry would duplicate the spans.
        let answer = timeout(ANSWER_TIMEOUT, read_up_to(ANSWER_MAX, response)).await;
        let answer = answer.ok().and_then(Result::ok).unwrap_or_default();
        let answer = ExportTraceServiceResponse::decode(&*answer).unwrap_or_default();
        let rejected = answer.partial_success.map_or(0, |partial| partial.rejected_spans);
        Ok(usize::try_from(rejected).unwrap_or(0))
    }
}

/// `Retry-After` in seconds; a date is ignored.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests;
