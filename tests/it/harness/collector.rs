//! A double of an OpenTelemetry collector: receives OTLP over HTTP, decodes it, and answers as the test wants.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::sync::watch;
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

/// The path of [`Collector::settings`], below which `/v1/traces` is.
const BASE: &str = "/otlp";

/// A running collector.
pub(crate) struct Collector {
    server: MockServer,
    exports: watch::Receiver<Vec<ExportTraceServiceRequest>>,
    answers: Arc<Mutex<Vec<ResponseTemplate>>>,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        let server = MockServer::start().await;
        let (received, exports) = watch::channel(Vec::new());
        let answers = Arc::new(Mutex::new(vec![ResponseTemplate::new(200)]));
        let left = answers.clone();
        let collect = move |request: &Request| {
            let export = ExportTraceServiceRequest::decode(&*request.body).expect("the body is an OTLP export");
            received.send_modify(|exports: &mut Vec<_>| exports.push(export));
            let mut left = left.lock().unwrap();
            if left.len() > 1 { left.remove(0) } else { left[0].clone() }
        };
        let mock = Mock::given(method("POST")).and(path("/otlp/v1/traces"));
        mock.and(header("content-type", "application/x-protobuf")).respond_with(collect).mount(&server).await;
        Self { server, exports, answers }
    }

    /// The value of `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub(crate) fn endpoint(&self) -> String {
        format!("{}{BASE}", self.server.uri())
    }

    /// Sets the next answers; the last one is repeated.
    pub(crate) fn answers(&self, answers: Vec<ResponseTemplate>) {
        *self.answers.lock().unwrap() = answers;
    }

    /// The exports so far.
    pub(crate) fn exports(&self) -> Vec<ExportTraceServiceRequest> {
        self.exports.borrow().clone()
    }

    /// The values of a header in the exports so far.
    pub(crate) async fn header(&self, name: &str) -> Vec<String> {
        let requests = self.server.received_requests().await.unwrap();
        let values = requests.iter().map(|request| request.headers[name].to_str().unwrap().to_owned());
        values.collect()
    }

    /// Every span that was exported so far.
    pub(crate) fn spans(&self) -> Vec<Span> {
        spans(&self.exports())
    }

    /// The exports so far, with the ids and times removed.
    pub(crate) fn without_ids_and_times(&self) -> Vec<ExportTraceServiceRequest> {
        let mut exports = self.exports();
        let resources = exports.iter_mut().flat_map(|export| &mut export.resource_spans);
        for span in resources.flat_map(|resource| &mut resource.scope_spans).flat_map(|scope| &mut scope.spans) {
            (span.trace_id, span.span_id, span.parent_span_id) = (Vec::new(), Vec::new(), Vec::new());
            (span.start_time_unix_nano, span.end_time_unix_nano) = (0, 0);
        }
        exports
    }

    /// Waits until this many exports have arrived.
    pub(crate) async fn wait_for_exports(&self, number: usize, deadline: Duration) {
        let mut exports = self.exports.clone();
        let wait = exports.wait_for(|exports| exports.len() >= number);
        let done = tokio::time::timeout(deadline, wait).await.is_ok();
        assert!(done, "{number} exports were expected, {} arrived", self.exports().len());
    }

    /// Waits for a span with this name.
    pub(crate) async fn wait_for_span(&self, name: &str, deadline: Duration) -> Span {
        let mut exports = self.exports.clone();
        let find = |exports: &[ExportTraceServiceRequest]| spans(exports).into_iter().find(|span| span.name == name);
        let wait = exports.wait_for(|exports| find(exports).is_some());
        let found = tokio::time::timeout(deadline, wait).await.ok().and_then(|exports| find(&exports.ok()?));
        found.unwrap_or_else(|| panic!("no span {name}: {:#?}", self.spans()))
    }
}

fn spans(exports: &[ExportTraceServiceRequest]) -> Vec<Span> {
    let resources = exports.iter().flat_map(|export| &export.resource_spans);
    resources.flat_map(|resource| &resource.scope_spans).flat_map(|scope| scope.spans.clone()).collect()
}

/// The value of an attribute as text; `None` without the attribute.
pub(crate) fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
    let AnyValue { value } = attributes.iter().find(|attribute| attribute.key == key)?.value.clone()?;
    match value? {
        Value::StringValue(text) => Some(text),
        Value::IntValue(number) => Some(number.to_string()),
        other => panic!("{key} is neither a text nor a whole number: {other:?}"),
    }
}
