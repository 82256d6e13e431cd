//! Load shedding: limits on concurrent requests and on the memory for their bodies.
//!
//! A request or body above its limit is refused immediately with 503 and `Retry-After`; no request is queued. The token
//! routes need no token, so they have separate limits: exhausting these does not affect the API. Permits are released
//! when the task of the request has ended, not when its client disconnects.

use std::sync::{Arc, OnceLock};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::ApiError;
use super::{App, RequestLimits};

/// Short, since a request normally holds its permit for milliseconds.
const RETRY_AFTER_SECONDS: u64 = 1;

/// The largest body on the token routes: credentials are short, and the client is not authenticated yet.
pub(super) const TOKEN_BODY_MAX: usize = 16 * 1024;
/// The memory for bodies on the token routes: 1024 of the largest.
const TOKEN_BODIES_TOTAL: usize = 1024 * TOKEN_BODY_MAX;
/// The API's request limit divided by that of the token routes.
const TOKEN_SHARE: usize = 8;

/// The limits of this process.
#[derive(Debug)]
pub struct Admission {
    pub(super) api: Gate,
    pub(super) tokens: Gate,
}

impl Admission {
    /// All permits are available.
    #[must_use]
    pub fn new(limits: &RequestLimits) -> Self {
        let token_requests = limits.requests_at_once.div_ceil(TOKEN_SHARE);
        Self {
            api: Gate::new("api", limits.requests_at_once, limits.bodies_total_bytes),
            tokens: Gate::new("tokens", token_requests, TOKEN_BODIES_TOTAL),
        }
    }
}

/// The permits for requests and for bytes of their bodies, for one class of routes.
#[derive(Debug)]
pub(super) struct Gate {
    class: &'static str,
    requests: Arc<Semaphore>,
    body_bytes: Arc<Semaphore>,
}

/// Which limit was exceeded. For the log; the client gets a 503 without details.
#[derive(Clone, Copy, Debug, thiserror::Error)]
enum Shed {
    #[error("load shedding: too many concurrent requests ({0})")]
    Requests(&'static str),
    #[error("load shedding: request bodies exceed the memory limit ({0})")]
    Bodies(&'static str),
}

impl Gate {
    fn new(class: &'static str, requests: usize, body_bytes: usize) -> Self {
        Self { class, requests: Arc::new(Semaphore::new(requests)), body_bytes: Arc::new(Semaphore::new(body_bytes)) }
    }

    /// A permit for one request.
    pub(super) fn enter(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        self.requests.clone().try_acquire_owned().map_err(|_| self.shed(Shed::Requests(self.class), "requests"))
    }

    /// A permit for this many bytes of a body.
    pub(super) fn hold(&self, bytes: usize) -> Result<OwnedSemaphorePermit, ApiError> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let permit = self.body_bytes.clone().try_acquire_many_owned(bytes);
        permit.map_err(|_| self.shed(Shed::Bodies(self.class), "bodies"))
    }

    fn shed(&self, shed: Shed, reason: &'static str) -> ApiError {
        metrics::counter!("requests_shed_total", "class" => self.class, "reason" => reason).increment(1);
        ApiError::unavailable(RETRY_AFTER_SECONDS).caused_by(shed)
    }
}

tokio::task_local! {
    static VISIT: Visit;
}

/// The permits that a request holds until its task has ended.
#[derive(Debug)]
pub(super) struct Visit {
    _request: OwnedSemaphorePermit,
    body: OnceLock<OwnedSemaphorePermit>,
}

impl Visit {
    /// Holds the permit of the body too: parts of the body are still used by the use case.
    pub(super) fn keep(permit: OwnedSemaphorePermit) {
        let _ = VISIT.try_with(|visit| {
            // A request has one body; the permit of a second one would be released here.
            let _ = visit.body.set(permit);
        });
    }
}

/// Middleware of every API route: a request without a permit is refused.
pub(super) async fn around(State(app): State<App>, request: Request, next: Next) -> Response {
    match app.admission.api.enter() {
        Ok(permit) => VISIT.scope(Visit { _request: permit, body: OnceLock::new() }, next.run(request)).await,
        Err(error) => error.into_response(),
    }
}
