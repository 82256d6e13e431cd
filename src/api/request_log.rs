//! The outermost middleware: the task of a request, its id, its timeout, its log line, its metrics, and its error body.

use std::error::Error;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CACHE_CONTROL, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::{Instrument, Span};
use uuid::Uuid;

use super::App;
use super::error::ApiError;
use super::unread_body::UnreadBody;
use crate::domain::id::uuid_v7;
use crate::traces::RequestTrace;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest request id that is accepted from a client.
const REQUEST_ID_MAX: usize = 128;

/// The `Retry-After` of a request that timed out.
const RETRY_AFTER_DEADLINE_SECONDS: u64 = 5;

/// The id of the current request.
#[derive(Clone, Default)]
pub(super) struct RequestId(Arc<str>);

impl RequestId {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Runs a request to completion in its own task. If the client disconnects or the timeout expires, only the wait for
/// the answer ends: cancelling a statement would cost its database connection, a failed attempt has to be counted, and
/// the challenge of an SMS that no provider accepted has to be removed.
pub(super) async fn around(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let received = Received::new(&app, &mut request);
    let work = next.run(UnreadBody::wrap(request));
    let (answer, answered) = oneshot::channel();
    let (deadline, span, receipt) = (app.limits.deadline, received.span.clone(), received.clone());
    let work = async move {
        let mut work = pin!(work);
        if let Ok(response) = timeout(deadline, work.as_mut()).await {
            let _ = answer.send(received.answered(response));
        } else {
            let late = ApiError::unavailable(RETRY_AFTER_DEADLINE_SECONDS).into_response();
            let _ = answer.send(received.answered(late));
            work.await;
        }
    };
    match &receipt.trace {
        Some(trace) => app.running.spawn(trace.around(work.instrument(span))),
        None => app.running.spawn(work.instrument(span)),
    };
    // No answer means that the task panicked; the panic hook has logged it.
    answered.await.unwrap_or_else(|_| receipt.answered(ApiError::panicked().into_response()))
}

/// The data of a request that is known when it arrives.
#[derive(Clone)]
struct Received {
    started: Instant,
    id: RequestId,
    method: &'static str,
    route: Option<MatchedPath>,
    span: Span,
    trace: Option<RequestTrace>,
}

impl Received {
    fn new(app: &App, request: &mut Request) -> Self {
        let started = Instant::now();
        let id = RequestId(valid_request_id(request.headers()).unwrap_or_else(|| new_request_id(app)).into());
        request.extensions_mut().insert(id.clone());
        let method = method_name(request.method());
        let route = request.extensions().get::<MatchedPath>().cloned();
        let trace = app.traces.request(method, route.as_ref().map(MatchedPath::as_str), id.as_str(), request.headers());
        let span = tracing::info_span!(
            "request",
            request.id = %id.as_str(), method, route = route_name(route.as_ref()),
            trace_id = trace.as_ref().map(|trace| tracing::field::display(trace.id())),
            partner = tracing::field::Empty, client = tracing::field::Empty
        );
        span.in_scope(|| tracing::trace!("received"));
        Self { started, id, method, route, span, trace }
    }

    /// Completes the answer: writes an error's body, the log line and the metrics.
    fn answered(&self, mut response: Response) -> Response {
        let error = response.extensions_mut().remove::<ApiError>();
        if let Some(error) = &error {
            error.write_to(&mut response, self.id.as_str());
        }
        finish_headers(response.headers_mut(), self.id.as_str());

        let status = response.status().as_u16();
        let elapsed = self.started.elapsed();
        let duration_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        self.span.in_scope(|| log(status, duration_us, error.as_ref()));
        if let Some(trace) = &self.trace {
            trace.answered(status, error.as_ref().map(ApiError::code));
        }
        let route = route_name(self.route.as_ref()).to_owned();
        let labels = [("method", self.method.to_owned()), ("route", route), ("status", status.to_string())];
        metrics::counter!("http_requests_total", &labels).increment(1);
        metrics::histogram!("http_request_duration_seconds", &labels).record(elapsed);
        response
    }
}

/// The route's template: raw paths would create unbounded time series.
fn route_name(route: Option<&MatchedPath>) -> &str {
    route.map_or("unmatched", MatchedPath::as_str)
}

/// The log line of a request. Its span has the request id, the partner and the client.
fn log(status: u16, duration_us: u64, error: Option<&ApiError>) {
    let code = error.map(ApiError::code);
    let cause = error.and_then(ApiError::cause).map(causes);
    if status >= 500 {
        tracing::error!(status, duration_us, code, cause, "answered");
    } else {
        tracing::info!(status, duration_us, code, cause, "answered");
    }
}

/// The whole cause chain, outermost first.
fn causes(error: &(dyn Error + Send + Sync + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

fn finish_headers(headers: &mut HeaderMap, request_id: &str) {
    if let Ok(value) = HeaderValue::from_str(request_id) {
        headers.insert(X_REQUEST_ID, value);
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

/// The client's request id, if it is safe in a log line and a header.
fn valid_request_id(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(X_REQUEST_ID)?.to_str().ok()?;
    let is_valid = (1..=REQUEST_ID_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:/+=".contains(&b));
    is_valid.then(|| text.to_owned())
}

fn new_request_id(app: &App) -> String {
    let id: Uuid = uuid_v7(app.service.clock.now(), app.service.entropy.bytes());
    id.to_string()
}

/// A label for the method: unknown methods must not create new time series.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        _ => "OTHER",
    }
}
