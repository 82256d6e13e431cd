//! The span of a request.

use opentelemetry::trace::{FutureExt, SpanKind, Status, TraceContextExt, TraceId, Tracer};
use opentelemetry::{Context, KeyValue};
use reqwest::header::HeaderMap;

use super::{Traces, trace_parent};

impl Traces {
    /// Begins the span of a request. `method` and `route` have few values: they make up the span's name.
    #[must_use]
    pub fn request(
        &self,
        method: &'static str,
        route: Option<&str>,
        request_id: &str,
        headers: &HeaderMap,
    ) -> Option<RequestTrace> {
        let tracing = self.0.as_ref()?;
        let mut parent = Context::new().with_value(tracing.scope.clone());
        if tracing.continues_callers
            && let Some(caller) = trace_parent::read(headers)
        {
            parent = parent.with_remote_span_context(caller);
        }
        // Semantic conventions for HTTP: an unknown method is `_OTHER` as an attribute, `HTTP` in a name.
        let (method, verb) = if method == "OTHER" { ("_OTHER", "HTTP") } else { (method, method) };
        let name = route.map_or_else(|| verb.to_owned(), |route| format!("{verb} {route}"));
        let mut attributes = vec![
            KeyValue::new("http.request.method", method),
            // Proxies in front of the service terminate TLS.
            KeyValue::new("url.scheme", "http"),
            KeyValue::new("device_management.request_id", request_id.to_owned()),
        ];
        attributes.extend(route.map(|route| KeyValue::new("http.route", route.to_owned())));
        let tracer = &tracing.scope.tracer;
        let builder = tracer.span_builder(name).with_kind(SpanKind::Server).with_attributes(attributes);
        let span = tracer.build_with_context(builder, &parent);
        Some(RequestTrace(parent.with_span(span)))
    }
}

/// The trace of a request. A clone is another handle to the same.
#[derive(Clone)]
pub struct RequestTrace(Context);

impl RequestTrace {
    /// The trace's id, sampled or not.
    #[must_use]
    pub fn id(&self) -> TraceId {
        self.0.span().span_context().trace_id()
    }

    /// Makes the operations of `work` parts of this trace.
    pub fn around<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        work.with_context(self.0.clone())
    }

    /// Ends the span. `code` is the error code of the answer.
    pub fn answered(&self, status: u16, code: Option<&'static str>) {
        let span = self.0.span();
        if !span.is_recording() {
            return;
        }
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status)));
        if let Some(code) = code {
            span.set_attribute(KeyValue::new("device_management.error_code", code));
        }
        // A server's span is in error only if the server is.
        if status >= 500 {
            span.set_attribute(KeyValue::new("error.type", code.map_or_else(|| status.to_string(), str::to_owned)));
            span.set_status(Status::error(""));
        }
        span.end();
    }
}

/// Makes work that runs in its own task a part of the current request's trace, if there is one.
pub fn in_this_trace<F: Future>(work: F) -> impl Future<Output = F::Output> + use<F> {
    work.with_current_context()
}

/// Adds partner and client to the span of the current request.
pub fn name_caller(partner: &str, client: &str) {
    Context::map_current(|context| {
        let span = context.span();
        if span.is_recording() {
            span.set_attribute(KeyValue::new("device_management.partner", partner.to_owned()));
            span.set_attribute(KeyValue::new("device_management.client", client.to_owned()));
        }
    });
}
