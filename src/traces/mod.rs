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
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::trace::TracerProvider;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::TelemetryResourceDetector;
pub use opentelemetry_sdk::trace::Sampler;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, SpanLimits};
use reqwest::header::HeaderMap;
use reqwest::{Client, Url};
use uuid::Uuid;

use self::export::Exporting;
pub use self::operation::{Operation, Peer, connection_wait, send, statement};
pub use self::request::{RequestTrace, in_this_trace, name_caller};

/// The outcomes of a span in the metric `trace_spans_total`.
pub const OUTCOMES: [&str; 5] = [export::EXPORTED, export::QUEUE_FULL, export::EXPIRED, export::REJECTED, export::LOST];

/// Where spans are sent, and which.
#[derive(Clone)]
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

/// Shows only the host of the endpoint: its path may contain a credential.
impl fmt::Debug for TraceSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { endpoint, headers, timeout, resource, sampler, continues_callers, parent_to } = self;
        f.debug_struct("TraceSettings")
            .field("endpoint", &endpoint.origin().ascii_serialization())
            .field("headers", headers)
            .field("timeout", timeout)
            .field("resource", resource)
            .field("sampler", sampler)
            .field("continues_callers", continues_callers)
            .field("parent_to", parent_to)
            .finish()
    }
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
    /// Starts the task that exports spans. `instance` is the default of `service.instance.id`.
    #[must_use]
    pub fn start(settings: TraceSettings, http: Client, instance: Uuid) -> Self {
        let resource = Resource::builder_empty()
            .with_detector(Box::new(TelemetryResourceDetector))
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_attribute(KeyValue::new("service.instance.id", instance.to_string()))
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
            // Otherwise the SDK reads limits from the environment, past `config check`.
            .with_span_limits(SpanLimits::default())
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
