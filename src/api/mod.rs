//! The HTTP layer: translates requests into calls of use cases and their outcomes into answers.
//!
//! The only module that uses axum and JSON names, and that chooses status codes. A handler extracts the request, calls
//! one use case and renders the outcome; it makes no decisions. `request_log` runs each request in its own task, which
//! completes even if the client disconnects.

mod admission;
mod answer;
mod body;
mod caller;
mod challenges;
mod clients;
mod cursor;
mod devices;
mod docs;
mod error;
mod fields;
mod health;
mod host;
mod idempotency;
mod numbers;
mod page;
mod paging;
mod path;
mod refusals;
mod request_log;
mod sandbox;
mod unread_body;
mod views;

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use tokio_util::task::TaskTracker;

pub use self::admission::Admission;
use self::error::ApiError;
pub use self::health::Readiness;
use self::refusals::ErrorCode;
use crate::auth::BearerTokens;
use crate::crypto::RequestDigests;
use crate::service::Service;
use crate::traces::Traces;

/// The shared state of all requests. A clone is another handle to the same state: each layer of each request takes one.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// The fields of [`App`].
pub struct Parts {
    /// The use cases.
    pub service: Arc<Service>,
    /// Checks bearer tokens and issues the service's own.
    pub tokens: Arc<BearerTokens>,
    /// Distinguishes retries from other requests with the same idempotency key.
    pub request_digests: RequestDigests,
    /// Limits on requests.
    pub limits: RequestLimits,
    /// Load shedding.
    pub admission: Admission,
    /// Running requests, including those whose clients have disconnected.
    pub running: TaskTracker,
    /// The tracer.
    pub traces: Traces,
    /// The cached result of the readiness check.
    pub readiness: Readiness,
    /// Set after the stop signal.
    pub draining: AtomicBool,
}

impl From<Parts> for App {
    fn from(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// Limits on requests (docs/api-design.md#limits).
#[derive(Clone, Copy, Debug)]
pub struct RequestLimits {
    /// The largest body, in bytes.
    pub body_bytes: usize,
    /// The request timeout.
    pub deadline: Duration,
    /// The maximum number of concurrent API requests.
    pub requests_at_once: usize,
    /// The maximum size of all bodies in memory together, in bytes.
    pub bodies_total_bytes: usize,
}

impl RequestLimits {
    /// The timeout for reading a body: two thirds of the request timeout, so that a slow client gets a specific error,
    /// and a body that arrives just in time leaves time for the use case.
    pub(crate) fn body_deadline(&self) -> Duration {
        self.deadline * 2 / 3
    }
}

impl App {
    /// Whether the process has received a stop signal.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

/// The whole API.
pub fn router(app: App) -> Router {
    let devices = Router::new()
        .route("/v1/mfa/devices", post(devices::bind).get(devices::list))
        .route("/v1/mfa/devices/{id}", get(devices::show).delete(devices::delete))
        .route("/v1/mfa/devices/{id}/keys", post(devices::keys::add).get(devices::keys::list))
        .route("/v1/mfa/devices/{id}/keys/{key_id}", get(devices::keys::show));
    let numbers = Router::new()
        .route(
            "/v1/persons/{person_id}/mobile_number",
            post(numbers::create).get(numbers::show).delete(numbers::delete),
        )
        .route("/v1/persons/{person_id}/mobile_number/authorize", post(numbers::authorize))
        .route("/v1/persons/{person_id}/mobile_number/confirm", post(numbers::confirm));
    // The token is checked first: it may wait for the identity provider, and must not hold an admission permit
    // meanwhile.
    let sandbox = app.service.sandbox.as_ref();
    let sandbox_pages = sandbox.map_or_else(Router::new, sandbox::pages);
    let sandbox = sandbox.map_or_else(Router::new, sandbox::routes);
    let api = devices
        .merge(numbers)
        .merge(challenges::routes())
        .merge(sandbox)
        .route_layer(from_fn_with_state(app.clone(), admission::around))
        .route_layer(from_fn_with_state(app.clone(), caller::around));
    let tokens =
        Router::new().route("/oauth2/token", post(clients::issue)).route("/oauth/token", post(clients::issue_older));
    let operations = Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .merge(docs::routes(app.service.sandbox_client.is_some()))
        .merge(sandbox_pages);

    Router::new()
        .merge(api)
        .merge(tokens)
        .merge(operations)
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
        .layer(from_fn(host::around))
        .layer(from_fn_with_state(app.clone(), request_log::around))
        .with_state(app)
}

async fn no_such_route() -> ApiError {
    ApiError::new(ErrorCode::NotFound, "no such route")
}

async fn no_such_method() -> ApiError {
    ApiError::new(ErrorCode::MethodNotAllowed, "method not allowed; the Allow header lists the allowed methods")
}
