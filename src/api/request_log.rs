//! Around every request: its task, its id, its deadline, its one log line, its metrics, and the body of its error.

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

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest request id that we take from a caller.
const REQUEST_ID_MAX: usize = 128;

/// For how long a caller should wait after a request that took too long.
const RETRY_AFTER_DEADLINE_SECONDS: u64 = 5;

/// The id of the request under way.
#[derive(Clone, Default)]
pub(super) struct RequestId(Arc<str>);

impl RequestId {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Has a request worked on to its end in a task of its own. A client that hangs up, or a deadline that passes, ends the
/// wait for the answer and not the work: a database connection whose statement is given up would have to be closed, a
/// failure has to be counted, and a message that was not taken has to be made void.
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
    app.running.spawn(work.instrument(span));
    // Without an answer the work has panicked, which was logged where it happened.
    answered.await.unwrap_or_else(|_| receipt.answered(ApiError::panicked().into_response()))
}

/// What is known of a request from the start.
#[derive(Clone)]
struct Received {
    started: Instant,
    id: RequestId,
    method: &'static str,
    route: Option<MatchedPath>,
    span: Span,
}

impl Received {
    fn new(app: &App, request: &mut Request) -> Self {
        let started = Instant::now();
        let id = RequestId(sane_request_id(request.headers()).unwrap_or_else(|| mint_request_id(app)).into());
        request.extensions_mut().insert(id.clone());
        let method = method_name(request.method());
        let route = request.extensions().get::<MatchedPath>().cloned();
        let span = tracing::info_span!(
            "request",
            request.id = %id.as_str(), method, route = route_name(route.as_ref()),
            partner = tracing::field::Empty, client = tracing::field::Empty
        );
        span.in_scope(|| tracing::trace!("received"));
        Self { started, id, method, route, span }
    }

    /// The answer as it leaves: with the body of its error, its log line and its metrics.
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
        let route = route_name(self.route.as_ref()).to_owned();
        let labels = [("method", self.method.to_owned()), ("route", route), ("status", status.to_string())];
        metrics::counter!("http_requests_total", &labels).increment(1);
        metrics::histogram!("http_request_duration_seconds", &labels).record(elapsed);
        response
    }
}

/// The template of the path: paths themselves would make new time series.
fn route_name(route: Option<&MatchedPath>) -> &str {
    route.map_or("unmatched", MatchedPath::as_str)
}

/// The one line of a request. The span around it says which request, and whose.
fn log(status: u16, duration_us: u64, error: Option<&ApiError>) {
    let code = error.map(ApiError::code);
    let cause = error.and_then(ApiError::cause).map(causes);
    if status >= 500 {
        tracing::error!(status, duration_us, code, cause, "answered");
    } else {
        tracing::info!(status, duration_us, code, cause, "answered");
    }
}

/// The whole chain of causes, outermost first.
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

/// The caller's request id, if it can stand in a log line and a header as it is.
fn sane_request_id(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(X_REQUEST_ID)?.to_str().ok()?;
    let is_sane = (1..=REQUEST_ID_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:/+=".contains(&b));
    is_sane.then(|| text.to_owned())
}

fn mint_request_id(app: &App) -> String {
    let id: Uuid = uuid_v7(app.service.clock.now(), app.service.entropy.bytes());
    id.to_string()
}

/// Invented methods must not make new time series.
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
