//! /healthz and /readyz (contract section 10).

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use serde_json::json;

use super::App;
use super::error::ApiError;
use crate::service::Failure;

/// Probes come every few seconds and must not pile up.
const READY_DEADLINE: Duration = Duration::from_secs(2);
const RETRY_AFTER_SECONDS: u64 = 2;

/// The process is there.
pub(super) async fn alive() -> impl IntoResponse {
    Json(json!({"status": "ok"}))
}

/// Requests can be served: the database answers, its migrations are applied, and nobody has told us to stop.
pub(super) async fn ready(State(app): State<App>) -> Result<impl IntoResponse, ApiError> {
    if app.is_draining() {
        return Err(ApiError::unavailable(RETRY_AFTER_SECONDS));
    }
    match tokio::time::timeout(READY_DEADLINE, app.service.store.ready()).await {
        Ok(Ok(())) => Ok(Json(json!({"status": "ready"}))),
        Ok(Err(error)) => Err(ApiError::unavailable(RETRY_AFTER_SECONDS).caused_by(Failure::from(error))),
        Err(elapsed) => Err(ApiError::unavailable(RETRY_AFTER_SECONDS).caused_by(elapsed)),
    }
}
