//! The health checks `/healthz` and `/readyz` (docs/api-design.md#operator-interfaces).

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::App;
use super::error::ApiError;
use super::sandbox::clock::ClockView;
use crate::service::{Failure, Service};

/// The timeout of the database check.
const READY_DEADLINE: Duration = Duration::from_secs(2);
/// For how long its result is cached.
const CACHED_FOR: TimeDelta = TimeDelta::seconds(1);
const RETRY_AFTER_SECONDS: u64 = 2;

/// The cached result of the last database check. The route needs no token, so all requests together cause at most one
/// check per second; requests that arrive during a check wait for its result.
#[derive(Default)]
pub struct Readiness(Mutex<Option<Probe>>);

struct Probe {
    at: DateTime<Utc>,
    outcome: Result<(), ApiError>,
}

impl Readiness {
    async fn of(&self, service: &Service) -> Result<(), ApiError> {
        let mut last = self.0.lock().await;
        if let Some(probe) = &*last
            && (TimeDelta::zero()..CACHED_FOR).contains(&(service.clock.now() - probe.at))
        {
            return probe.outcome.clone();
        }
        let outcome = match timeout(READY_DEADLINE, service.store.ready()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(ApiError::unavailable(RETRY_AFTER_SECONDS).caused_by(Failure::from(error))),
            Err(elapsed) => Err(ApiError::unavailable(RETRY_AFTER_SECONDS).caused_by(elapsed)),
        };
        *last = Some(Probe { at: service.clock.now(), outcome: outcome.clone() });
        outcome
    }
}

/// A ready service.
#[derive(Serialize)]
pub(super) struct ReadyView {
    status: &'static str,
    /// In the sandbox only.
    #[serde(skip_serializing_if = "Option::is_none")]
    clock: Option<ClockView>,
}

/// Liveness: the process answers.
pub(super) async fn alive() -> impl IntoResponse {
    Json(json!({"status": "ok"}))
}

/// Readiness: the database answers, its migrations are applied, and no stop signal was received.
pub(super) async fn ready(State(app): State<App>) -> Result<Json<ReadyView>, ApiError> {
    if app.is_draining() {
        return Err(ApiError::unavailable(RETRY_AFTER_SECONDS));
    }
    app.readiness.of(&app.service).await?;
    let clock = app.service.sandbox.as_ref().map(|sandbox| ClockView::from(&*sandbox.clock));
    Ok(Json(ReadyView { status: "ready", clock }))
}
