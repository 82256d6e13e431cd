//! Who may come in: shedding what is too much instead of queueing it.
//!
//! A request that finds no place, and a body that finds no room, is refused at once with 503 and `Retry-After`; nobody
//! waits. Strangers may call the token routes, so these have places and room of their own: filling them leaves the API
//! alone. A place and the room of a body are given back when the work of the request has ended, not when its client hangs up.

use std::sync::{Arc, OnceLock};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::ApiError;
use super::{App, RequestLimits};

/// A moment is enough: whoever has a place keeps it for milliseconds unless something hangs.
const RETRY_AFTER_SECONDS: u64 = 1;

/// The largest body on the token routes: credentials are short, and strangers send them.
pub(super) const TOKEN_BODY_MAX: usize = 16 * 1024;
/// Room for bodies on the token routes: a thousand of the largest.
const TOKEN_BODIES_TOTAL: usize = 1024 * TOKEN_BODY_MAX;
/// The token routes have one place for so many of the API's.
const TOKEN_SHARE: usize = 8;

/// The gates of this process.
#[derive(Debug)]
pub struct Admission {
    pub(super) api: Gate,
    pub(super) tokens: Gate,
}

impl Admission {
    /// Everything is free.
    #[must_use]
    pub fn new(limits: &RequestLimits) -> Self {
        let token_places = limits.requests_at_once.div_ceil(TOKEN_SHARE);
        Self {
            api: Gate::new("api", limits.requests_at_once, limits.bodies_total_bytes),
            tokens: Gate::new("tokens", token_places, TOKEN_BODIES_TOTAL),
        }
    }
}

/// Places for requests and room for their bodies, for one class of callers.
#[derive(Debug)]
pub(super) struct Gate {
    class: &'static str,
    places: Arc<Semaphore>,
    room: Arc<Semaphore>,
}

/// What there was too much of. For the log; callers learn only that they should come again.
#[derive(Clone, Copy, Debug, thiserror::Error)]
enum Shed {
    #[error("shed: too many requests at once ({0})")]
    Requests(&'static str),
    #[error("shed: too many bytes of bodies at once ({0})")]
    Bodies(&'static str),
}

impl Gate {
    fn new(class: &'static str, places: usize, room: usize) -> Self {
        Self { class, places: Arc::new(Semaphore::new(places)), room: Arc::new(Semaphore::new(room)) }
    }

    /// A place for one request.
    pub(super) fn enter(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        self.places.clone().try_acquire_owned().map_err(|_| self.shed(Shed::Requests(self.class), "requests"))
    }

    /// Room for so many bytes of a body.
    pub(super) fn hold(&self, bytes: usize) -> Result<OwnedSemaphorePermit, ApiError> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let room = self.room.clone().try_acquire_many_owned(bytes);
        room.map_err(|_| self.shed(Shed::Bodies(self.class), "bodies"))
    }

    fn shed(&self, shed: Shed, reason: &'static str) -> ApiError {
        metrics::counter!("requests_shed_total", "class" => self.class, "reason" => reason).increment(1);
        ApiError::unavailable(RETRY_AFTER_SECONDS).caused_by(shed)
    }
}

tokio::task_local! {
    static VISIT: Visit;
}

/// What a request occupies until its work has ended.
#[derive(Debug)]
pub(super) struct Visit {
    _place: OwnedSemaphorePermit,
    body: OnceLock<OwnedSemaphorePermit>,
}

impl Visit {
    /// Keeps the room of the body, too: parts of it live on in the use case.
    pub(super) fn keep(room: OwnedSemaphorePermit) {
        let _ = VISIT.try_with(|visit| {
            // A request has one body. Were there a second, its room would be given back here.
            let _ = visit.body.set(room);
        });
    }
}

/// Around every route of the API: no place, no request.
pub(super) async fn around(State(app): State<App>, request: Request, next: Next) -> Response {
    match app.admission.api.enter() {
        Ok(place) => VISIT.scope(Visit { _place: place, body: OnceLock::new() }, next.run(request)).await,
        Err(error) => error.into_response(),
    }
}
