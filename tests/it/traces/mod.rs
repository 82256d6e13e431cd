//! Traces: the spans that a collector receives over OTLP, and what the service does when there is none.

mod calls;
mod exporter;
mod requests;
mod statements;

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use opentelemetry_proto::tonic::trace::v1::Span;

use crate::harness::collector::attribute;
use crate::harness::{Answer, Collector, Engine, Start, TestApp, TestClient};

/// The longest wait for an export.
const PATIENCE: Duration = Duration::from_secs(20);

/// A valid `traceparent` without its flags, and its trace and span ids.
const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";
const CALLERS_TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLERS_SPAN: &str = "b7ad6b7169203331";

/// The span of a wait for a connection to the database.
const WAIT: &str = "db.client.connection.wait";

/// The service with traces, and the collector.
struct Traced {
    app: TestApp,
    collector: Collector,
}

impl Start for Traced {
    async fn start(engine: Engine) -> Self {
        Self::with(engine, &[]).await
    }
}

impl Traced {
    async fn with(engine: Engine, settings: &[(&str, &str)]) -> Self {
        let collector = Collector::start().await;
        let endpoint = collector.endpoint();
        let settings = [&[("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint)], settings].concat();
        Self { app: TestApp::with(engine, &settings).await, collector }
    }

    /// The spans of all requests so far. No later request is traced.
    async fn spans(&self) -> Vec<Span> {
        self.app.app.traces.finish(PATIENCE).await;
        self.collector.spans()
    }
}

/// Sends a GET with a `traceparent`.
async fn get_as_part_of(client: &TestClient, path: &str, parent: &str) -> Answer {
    client.request(Request::get(path).header("traceparent", parent).body(Body::empty()).unwrap()).await
}

/// The only span with this name.
#[track_caller]
fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let mut found = spans.iter().filter(|span| span.name == name);
    let span = found.next().unwrap_or_else(|| panic!("no span {name}: {spans:#?}"));
    assert!(found.next().is_none(), "several spans {name}: {spans:#?}");
    span
}

/// The attributes of a span as `key=value`, in alphabetical order.
fn attributes(span: &Span) -> Vec<String> {
    let text = |key: &str| format!("{key}={}", attribute(&span.attributes, key).unwrap());
    let mut attributes: Vec<String> = span.attributes.iter().map(|attribute| text(&attribute.key)).collect();
    attributes.sort();
    attributes
}
