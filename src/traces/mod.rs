//! Traces (OpenTelemetry): a span for each request, with child spans for its statements and outgoing calls, exported
//! over OTLP.
//!
//! Off unless a collector is configured: then there is no tracer, no context and no task. The sampler decides when the
//! request arrives; an unsampled request creates no other spans. Only the functions here set names and attributes, and
//! none takes a body, a parameter of a statement, a path or an error message. No request waits for the exporter. See
//! `docs/decisions/0032-traces-without-a-layer.md`.

mod export;
mod operation;
mod request;
mod summary;
mod trace_parent;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::trace::TracerProvider;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::TelemetryResourceDetector;
pub use opentelemetry_sdk::trace::Sampler;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use reqwest::header::HeaderMap;
use reqwest::{Client, Url};

use self::export::Exporting;
pub use self::operation::{Operation, Peer, send, statement};
pub use self::request::{RequestTrace, name_caller};

/// The outcomes of a span in the metric `trace_spans_total`.
pub const OUTCOMES: [&str; 4] = [export::EXPORTED, export::QUEUE_FULL, export::REJECTED, export::LOST];

/// Where spans are sent, and which.
#[derive(Clone, Debug)]
pub struct TraceSettings {
    /// The collector's URL for traces.
    pub endpoint: Url,
    /// Headers of each export; their values may be credentials.
    pub headers: HeaderMap,
    /// The timeout of an export.
    pub timeout: Duration,
    /// The resource attributes, including `service.name`.
    pub resource: Vec<(String, String)>,
    /// Decides which requests are recorded.
    pub sampler: Sampler,
    /// Whether a request continues the trace of its `traceparent`.
    pub continues_callers: bool,
    /// The servers that get a `traceparent`.
    pub parent_to: BTreeSet<Peer>,
}

/// The tracer of a process, or none.
#[derive(Clone, Default)]
pub struct Traces(Option<Arc<Tracing>>);

struct Tracing {
    scope: Scope,
    continues_callers: bool,
    exporting: Exporting,
}

/// In the context of each request.
#[derive(Clone)]
struct Scope {
    tracer: SdkTracer,
    parent_to: Arc<BTreeSet<Peer>>,
}

impl Traces {
    /// Starts the task that exports spans.
    #[must_use]
    pub fn start(settings: TraceSettings, http: Client) -> Self {
        let resource = Resource::builder_empty()
            .with_detector(Box::new(TelemetryResourceDetector))
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_attributes(settings.resource.into_iter().map(|(key, value)| KeyValue::new(key, value)))
            .build();
        let exporter = export::Exporter {
            http,
            endpoint: settings.endpoint,
            headers: settings.headers,
            timeout: settings.timeout,
            resource: (&resource).into(),
        };
        let (queue, exporting) = export::start(exporter);
        let provider = SdkTracerProvider::builder()
            .with_sampler(settings.sampler)
            .with_resource(resource)
            .with_span_processor(queue)
            .build();
        let name = InstrumentationScope::builder(env!("CARGO_PKG_NAME")).with_version(env!("CARGO_PKG_VERSION"));
        let scope = Scope { tracer: provider.tracer_with_scope(name.build()), parent_to: settings.parent_to.into() };
        Self(Some(Arc::new(Tracing { scope, continues_callers: settings.continues_callers, exporting })))
    }

    /// Exports the spans that are queued, and stops. Waits no longer than `deadline`.
    pub async fn finish(&self, deadline: Duration) {
        if let Some(tracing) = &self.0 {
            tracing.exporting.finish(deadline).await;
        }
    }
}
