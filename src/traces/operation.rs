//! The spans of operations inside a request: statements and outgoing calls. They do nothing if the request is not
//! sampled, or if there is no request.

use std::borrow::Cow;

use opentelemetry::trace::{Span, SpanBuilder, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::Span as SdkSpan;
use reqwest::header::HeaderValue;
use reqwest::{Request, RequestBuilder, Response};

use super::summary::summary;
use super::{Scope, trace_parent};

/// The span of an operation. It ends on drop.
pub struct Operation(Option<Box<SdkSpan>>);

impl Operation {
    fn begin(make: impl FnOnce() -> SpanBuilder) -> Self {
        Context::map_current(|context| {
            // Not `is_recording`: a request that was answered at its timeout continues.
            if !context.span().span_context().is_sampled() {
                return Self(None);
            }
            let span = context.get::<Scope>().map(|scope| scope.tracer.build_with_context(make(), context));
            Self(span.map(Box::new))
        })
    }

    fn set(&mut self, attribute: KeyValue) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(attribute);
        }
    }

    /// Marks the operation as failed. `kind` is one of few values, never a message.
    pub fn failed(&mut self, kind: impl FnOnce() -> Cow<'static, str>) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new("error.type", kind()));
            span.set_status(Status::error(""));
        }
    }
}

/// Begins the span of a statement on this database system. The span has the statement's verbs and tables, not its text.
#[must_use]
pub fn statement(system: &'static str, sql: &str) -> Operation {
    Operation::begin(|| {
        let summary = summary(sql);
        let mut attributes =
            vec![KeyValue::new("db.system.name", system), KeyValue::new("db.query.summary", summary.text.clone())];
        attributes.extend(summary.operation.map(|operation| KeyValue::new("db.operation.name", operation)));
        SpanBuilder::from_name(summary.text).with_kind(SpanKind::Client).with_attributes(attributes)
    })
}

/// Begins the span of a wait for a connection to the database.
#[must_use]
pub fn connection_wait() -> Operation {
    Operation::begin(|| SpanBuilder::from_name("db.client.connection.wait").with_kind(SpanKind::Internal))
}

/// A server that the service calls.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Peer {
    /// The operator's SMS gateway.
    Gateway,
    /// Twilio.
    Twilio,
    /// SEON.
    Seon,
    /// The external issuer.
    IdentityProvider,
}

impl Peer {
    fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "webhook",
            Self::Twilio => "twilio",
            Self::Seon => "seon",
            Self::IdentityProvider => "identity_provider",
        }
    }
}

/// Sends a request, as [`RequestBuilder::send`] does, in a span. The server gets a `traceparent` only if the settings
/// list it.
///
/// # Errors
/// Those of [`RequestBuilder::send`].
pub async fn send(request: RequestBuilder, peer: Peer) -> reqwest::Result<Response> {
    let (client, request) = request.build_split();
    let mut request = request?;
    let mut span = call(peer, &request);
    if let Some(parent) = trace_parent_for(peer, &span) {
        request.headers_mut().insert(trace_parent::TRACEPARENT, parent);
    }
    let outcome = client.execute(request).await;
    match &outcome {
        Ok(response) => {
            let status = response.status();
            span.set(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
            if status.is_client_error() || status.is_server_error() {
                span.failed(|| status.as_str().to_owned().into());
            }
        }
        Err(error) => span.failed(|| kind(error).into()),
    }
    outcome
}

/// Without the URL: its path may contain a credential or an account.
fn call(peer: Peer, request: &Request) -> Operation {
    Operation::begin(|| {
        let (method, url) = (request.method().as_str(), request.url());
        let mut attributes = vec![
            KeyValue::new("http.request.method", method.to_owned()),
            KeyValue::new("server.address", url.host_str().unwrap_or_default().to_owned()),
            KeyValue::new("service.peer.name", peer.as_str()),
        ];
        attributes.extend(url.port_or_known_default().map(|port| KeyValue::new("server.port", i64::from(port))));
        let name = format!("{method} {}", peer.as_str());
        SpanBuilder::from_name(name).with_kind(SpanKind::Client).with_attributes(attributes)
    })
}

/// Of an unsampled request too, so that the server can make the same decision.
fn trace_parent_for(peer: Peer, span: &Operation) -> Option<HeaderValue> {
    Context::map_current(|context| {
        context.get::<Scope>().filter(|scope| scope.parent_to.contains(&peer))?;
        Some(match &span.0 {
            Some(span) => trace_parent::write(span.span_context()),
            None => trace_parent::write(context.span().span_context()),
        })
    })
}

fn kind(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        return "timeout";
    }
    if error.is_connect() { "connect" } else { "interrupted" }
}
