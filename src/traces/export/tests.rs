//! The outcomes of spans. The recorder of metrics is local to the thread, and the runtime has one thread.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use opentelemetry::InstrumentationScope;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status};
use opentelemetry_sdk::Resource;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Respond, ResponseTemplate};

use super::*;
use crate::outbound;

const STALE: SystemTime = SystemTime::UNIX_EPOCH;

fn fresh() -> SystemTime {
    // In the year 2100.
    STALE + Duration::from_hours(130 * 365 * 24)
}

fn span(end_time: SystemTime) -> SpanData {
    SpanData {
        span_context: SpanContext::NONE,
        parent_span_id: SpanId::INVALID,
        parent_span_is_remote: false,
        span_kind: SpanKind::Server,
        name: "GET /healthz".into(),
        start_time: end_time,
        end_time,
        attributes: Vec::new(),
        dropped_attributes_count: 0,
        events: opentelemetry_sdk::trace::SpanEvents::default(),
        links: opentelemetry_sdk::trace::SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: InstrumentationScope::default(),
    }
}

fn exporter(endpoint: &str) -> Exporter {
    Exporter {
        http: outbound::client().unwrap(),
        endpoint: endpoint.parse().unwrap(),
        headers: HeaderMap::new(),
        timeout: Duration::from_mins(1),
        resource: (&Resource::builder_empty().build()).into(),
    }
}

/// A task for this endpoint, and the queue in front of it.
fn task(endpoint: &str) -> (Task, Queue) {
    let (queue, spans) = channel(ROOM);
    let stop = CancellationToken::new();
    let task = Task { exporter: exporter(endpoint), spans, batch: Vec::new(), in_delivery: 0, stop, failing: None };
    (task, Queue(queue))
}

/// A collector that gives these answers, and then refuses.
async fn collector(answers: Vec<ResponseTemplate>) -> MockServer {
    let server = MockServer::start().await;
    for answer in answers {
        Mock::given(any()).respond_with(answer).up_to_n_times(1).mount(&server).await;
    }
    Mock::given(any()).respond_with(ResponseTemplate::new(400)).mount(&server).await;
    server
}

/// The counters as `outcome=spans`.
fn counted(recorder: &PrometheusRecorder) -> Vec<String> {
    let text = recorder.handle().render();
    let lines = text.lines().filter_map(|line| line.strip_prefix("trace_spans_total{outcome=\""));
    let mut counters: Vec<String> =
        lines.map(|line| line.replace("\"} ", "=")).filter(|line| !line.ends_with("=0")).collect();
    counters.sort();
    counters
}

#[test]
fn a_full_queue_drops_spans_without_waiting() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let (queue, spans) = channel(2);
    metrics::with_local_recorder(&recorder, || {
        let queue = Queue(queue);
        for _ in 0..5 {
            queue.on_end(span(fresh()));
        }
    });
    assert_eq!((spans.len(), counted(&recorder)), (2, vec!["queue_full=3".to_owned()]));
}

#[test]
fn a_pause_is_at_least_the_backoff_and_at_most_five_minutes() {
    let backoff = Duration::from_secs(2);
    let later = |asked: Option<u64>| Refusal::Later(StatusCode::OK, asked.map(Duration::from_secs)).pause(backoff);
    assert_eq!([None, Some(0), Some(1)].map(later), [Some(backoff); 3]);
    assert_eq!([Some(10), Some(u64::MAX)].map(later), [Some(Duration::from_secs(10)), Some(RETRY_AFTER_MAX)]);
    assert_eq!(Refusal::Timeout.pause(backoff), Some(backoff));
    assert_eq!(Refusal::Final(StatusCode::OK).pause(backoff), None);
}

/// Ends a request during each export, and stops the task after the last.
struct Busy {
    queue: Queue,
    stop: CancellationToken,
    exports: AtomicUsize,
}

impl Respond for Busy {
    fn respond(&self, _: &wiremock::Request) -> ResponseTemplate {
        match self.exports.fetch_add(1, Ordering::Relaxed) {
            0 | 1 => self.queue.on_end(span(fresh())),
            _ => self.stop.cancel(),
        }
        ResponseTemplate::new(200)
    }
}

#[tokio::test]
async fn spans_that_end_during_an_export_wait_for_the_next_batch() {
    let server = MockServer::start().await;
    let (task, queue) = task(&server.uri());
    queue.on_end(span(fresh()));
    let busy = Busy { queue, stop: task.stop.clone(), exports: AtomicUsize::new(0) };
    Mock::given(any()).respond_with(busy).expect(3).mount(&server).await;
    let started = Instant::now();
    task.run().await;
    assert!(started.elapsed() >= 3 * PAUSE, "three exports in {:?}", started.elapsed());
}

#[tokio::test]
async fn expired_spans_are_not_retried_and_give_way_to_new_ones() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let server = collector(vec![ResponseTemplate::new(503), ResponseTemplate::new(200)]).await;
    let (mut task, _queue) = task(&server.uri());
    assert!(task.deliver(vec![span(STALE); 3]).await);
    assert_eq!(counted(&recorder), ["expired=3"]);
    assert!(task.deliver(vec![span(STALE); 4]).await);
    assert_eq!(server.received_requests().await.unwrap().len(), 1, "no try for stale spans after a failure");
    assert!(task.deliver(vec![span(STALE), span(fresh())]).await);
    assert_eq!(counted(&recorder), ["expired=8", "exported=1"]);
    drop(task);
    assert_eq!(counted(&recorder), ["expired=8", "exported=1"], "each span is counted once");
}

#[tokio::test]
async fn a_stop_ends_the_pause_and_is_followed_by_one_try() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let later = || ResponseTemplate::new(503).insert_header("retry-after", "300");
    for (second, is_delivered, outcome) in
        [(ResponseTemplate::new(200), true, "exported=2"), (later(), false, "lost=3")]
    {
        let server = collector(vec![later(), second]).await;
        let (mut task, queue) = task(&server.uri());
        let stop = task.stop.clone();
        let (delivered, ()) = tokio::join!(task.deliver(vec![span(fresh()); 2]), async move { stop.cancel() });
        assert_eq!((delivered, server.received_requests().await.unwrap().len()), (is_delivered, 2));
        if !is_delivered {
            queue.on_end(span(fresh()));
        }
        drop(task);
        assert!(counted(&recorder).contains(&outcome.to_owned()), "{outcome}: {:?}", counted(&recorder));
    }
}

#[tokio::test]
async fn spans_are_counted_as_lost_when_the_deadline_ends_the_task() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    // Connections are accepted by the kernel, and not answered.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (queue, exporting) = start(exporter(&format!("http://{}", silent.local_addr().unwrap())));
    for _ in 0..3 {
        queue.on_end(span(fresh()));
    }
    exporting.finish(Duration::from_millis(100)).await;
    assert_eq!(counted(&recorder), ["lost=3"]);
}

#[tokio::test]
async fn an_answer_whose_body_stalls_is_a_success() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let stalling = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_buf(&mut Vec::new()).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n").await.unwrap();
        std::future::pending::<()>().await;
    });
    let mut exporter = exporter(&endpoint);
    exporter.timeout = Duration::from_secs(20);
    let body = exporter.encode(vec![span(fresh())]);
    let posted = timeout(exporter.timeout / 2, exporter.post(body)).await.expect("the body has its own timeout");
    assert_eq!(posted.unwrap(), 0);
    stalling.abort();
}
