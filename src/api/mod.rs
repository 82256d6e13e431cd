//! The HTTP edge: translates requests into use cases and their outcomes into answers.
//!
//! The only module that knows axum and JSON names, and that chooses status codes. A handler extracts, calls one use case
//! and wraps what comes back; it decides nothing. Each request has a task of its own, which runs to its end also when the
//! client hangs up: `request_log` starts it.

mod admission;
mod answer;
mod body;
mod caller;
mod challenges;
mod clients;
mod devices;
mod docs;
mod error;
mod fields;
mod health;
mod host;
mod idempotency;
mod numbers;
mod path;
mod refusals;
mod request_log;
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

/// Everything that requests work with. A clone is another handle on the same: each layer of each request takes one.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// What there is of it.
pub struct Parts {
    /// The use cases.
    pub service: Arc<Service>,
    /// Checks bearer tokens and issues ours.
    pub tokens: Arc<BearerTokens>,
    /// Tells retries from other requests.
    pub request_digests: RequestDigests,
    /// Bounds of a request.
    pub limits: RequestLimits,
    /// Who may come in.
    pub admission: Admission,
    /// Requests that are worked on, also those whose clients hung up.
    pub running: TaskTracker,
    /// What is known of the database's state.
    pub readiness: Readiness,
    /// Set once the process has been told to stop.
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

/// Bounds of a request (docs/api-design.md#limits).
#[derive(Clone, Copy, Debug)]
pub struct RequestLimits {
    /// The largest body, in bytes.
    pub body_bytes: usize,
    /// The longest time until the answer.
    pub deadline: Duration,
    /// How many requests of the API are worked on at a time.
    pub requests_at_once: usize,
    /// How many bytes of bodies are held at a time.
    pub bodies_total_bytes: usize,
}

impl RequestLimits {
    /// The longest time until a body is there: two thirds of the whole, so that the caller learns that it was too slow, and
    /// a body that just makes it leaves time for the work.
    pub(crate) fn body_deadline(&self) -> Duration {
        self.deadline * 2 / 3
    }
}

impl App {
    /// Whether the process has been told to stop.
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
    // The token first: it may have to wait for the identity provider, and must not hold a place meanwhile.
    let api = devices
        .merge(numbers)
        .merge(challenges::routes())
        .route_layer(from_fn_with_state(app.clone(), admission::around))
        .route_layer(from_fn_with_state(app.clone(), caller::around));
    let tokens =
        Router::new().route("/oauth2/token", post(clients::issue)).route("/oauth/token", post(clients::issue_older));
    let operations =
        Router::new().route("/healthz", get(health::alive)).route("/readyz", get(health::ready)).merge(docs::routes());

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
    ApiError::new(ErrorCode::MethodNotAllowed, "no such method on this route; the Allow header lists those there are")
}
