//! Exports spans over OTLP (HTTP, protobuf): a bounded queue and one task of the runtime.
//!
//! No request waits: when the queue is full, spans are dropped and counted. While the collector is unreachable or
//! overloaded, the task retries its batch with backoff and the queue fills. The log has the first failure and the
//! recovery.

use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use prost::Message;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, StatusCode, Url};
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
/// The largest answer that is read.
const ANSWER_MAX: usize = 64 * 1024;

pub(super) const EXPORTED: &str = "exported";
pub(super) const QUEUE_FULL: &str = "queue_full";
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
        if self.0.try_send(span).is_err() {
            count(QUEUE_FULL, 1);
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
            tracing::warn!("trace spans lost, the collector did not answer before the shutdown deadline");
        }
    }
}

/// Starts the task.
pub(super) fn start(exporter: Exporter) -> (Queue, Exporting) {
    let (queue, spans) = channel(ROOM);
    let stop = CancellationToken::new();
    let task = Task { exporter, spans, stop: stop.clone(), failing: false };
    (Queue(queue), Exporting { stop, task: Mutex::new(Some(tokio::spawn(task.run()))) })
}

struct Task {
    exporter: Exporter,
    spans: Receiver<SpanData>,
    stop: CancellationToken,
    failing: bool,
}

impl Task {
    async fn run(mut self) {
        let stop = self.stop.clone();
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let waited = stop.run_until_cancelled(async {
                let received = self.spans.recv_many(&mut batch, 1).await;
                sleep(PAUSE).await;
                received
            });
            match waited.await {
                Some(0) => return,
                Some(_) => {}
                None => self.spans.close(),
            }
            // All that is queued, in whole batches as long as they last.
            loop {
                let room = BATCH - batch.len();
                if room > 0 && !self.spans.is_empty() {
                    self.spans.recv_many(&mut batch, room).await;
                }
                if batch.is_empty() {
                    break;
                }
                let spans = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
                self.deliver(spans).await;
            }
            if stop.is_cancelled() {
                return;
            }
        }
    }

    /// Exports a batch, and retries as long as the collector may accept it later.
    async fn deliver(&mut self, spans: Vec<SpanData>) {
        let number = spans.len();
        let body = self.exporter.encode(spans);
        let mut backoff = BACKOFF.0;
        loop {
            let refusal = match self.exporter.post(body.clone()).await {
                Ok(rejected) => {
                    let rejected = rejected.min(number);
                    count(REJECTED, rejected);
                    count(EXPORTED, number - rejected);
                    if rejected == 0 {
                        self.recovered();
                    } else {
                        self.failed(&Refusal::Partly(rejected));
                    }
                    return;
                }
                Err(refusal) => refusal,
            };
            self.failed(&refusal);
            let Some(pause) = refusal.pause(backoff) else { return count(REJECTED, number) };
            if self.stop.run_until_cancelled(sleep(pause)).await.is_none() {
                return self.lose(number);
            }
            backoff = (backoff * 2).min(BACKOFF.1);
        }
    }

    /// At shutdown there is no retry: the next batch would fail too.
    fn lose(&mut self, number: usize) {
        let mut spans = number;
        while self.spans.try_recv().is_ok() {
            spans += 1;
        }
        count(LOST, spans);
        tracing::warn!(spans, "trace spans lost, the collector does not accept them");
    }

    fn failed(&mut self, refusal: &Refusal) {
        if std::mem::replace(&mut self.failing, true) {
            return;
        }
        let cause: &(dyn Error + 'static) = refusal;
        match refusal {
            Refusal::Final(_) => tracing::error!(cause, "trace export refused"),
            Refusal::Partly(_) => tracing::warn!(cause, "trace export refused in part"),
            _ => tracing::warn!(cause, "trace export failed, will retry"),
        }
    }

    fn recovered(&mut self) {
        if std::mem::replace(&mut self.failing, false) {
            tracing::info!("trace export recovered");
        }
    }
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
    /// The pause before the next try; `None` if there should be none.
    fn pause(&self, backoff: Duration) -> Option<Duration> {
        match self {
            Self::Unreachable(_) | Self::Timeout => Some(backoff),
            Self::Later(_, asked) => Some(asked.map_or(backoff, |asked| asked.min(RETRY_AFTER_MAX))),
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
        timeout(self.timeout, self.try_to_post(body)).await.unwrap_or(Err(Refusal::Timeout))
    }

    async fn try_to_post(&self, body: Bytes) -> Result<usize, Refusal> {
        let request = self.http.post(self.endpoint.clone()).headers(self.headers.clone());
        let request = request.header(CONTENT_TYPE, "application/x-protobuf").body(body);
        let response = request.send().await.map_err(|error| Refusal::Unreachable(error.without_url()))?;
        let status = response.status();
        if !status.is_success() {
            // OTLP specification, "Failures": these four may be retried.
            return Err(match status.as_u16() {
                429 | 502..=504 => Refusal::Later(status, retry_after(response.headers())),
                _ => Refusal::Final(status),
            });
        }
        // An answer that cannot be read is a success: a retry would duplicate the spans.
        let answer = read_up_to(ANSWER_MAX, response).await.unwrap_or_default();
        let answer = ExportTraceServiceResponse::decode(&*answer).unwrap_or_default();
        let rejected = answer.partial_success.map_or(0, |partial| partial.rejected_spans);
        Ok(usize::try_from(rejected).unwrap_or(0))
    }
}

/// `Retry-After` in seconds; a date is ignored.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}
