//! `/sandbox/clock`: shows the service's time and moves it forward (docs/sandbox.md#the-clock).

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use serde::Serialize;

use crate::api::App;
use crate::api::body::{JsonBody, OptionalJsonBody};
use crate::api::error::ApiError;
use crate::api::fields::Fields;
use crate::api::views::instant;
use crate::background;
use crate::clock::Clock as _;
use crate::domain::invalid::{Faults, Invalid};
use crate::sandbox::{ADVANCE_MAX, Sandbox, SandboxClock};

const ADVANCE_SECONDS: &str = "advance_seconds";

/// When a background task could not run after the clock was advanced.
const RETRY_AFTER_SECONDS: u64 = 2;

/// The service's time.
#[derive(Serialize)]
pub(in crate::api) struct ClockView {
    now: String,
    advanced_seconds: i64,
}

impl From<&SandboxClock> for ClockView {
    fn from(clock: &SandboxClock) -> Self {
        Self { now: instant(clock.now()), advanced_seconds: clock.advanced_seconds() }
    }
}

/// Shows the time.
pub(super) async fn show(Extension(sandbox): Extension<Arc<Sandbox>>) -> Json<ClockView> {
    Json(ClockView::from(&*sandbox.clock))
}

/// Moves the time forward and runs the background tasks once, as they would have run by then.
pub(super) async fn advance(
    State(app): State<App>,
    Extension(sandbox): Extension<Arc<Sandbox>>,
    OptionalJsonBody(body): OptionalJsonBody,
) -> Result<Json<ClockView>, ApiError> {
    let body = body.unwrap_or_else(|| JsonBody::parse(&[]));
    let seconds = body.read(seconds)?;
    sandbox.clock.advance(seconds).map_err(|error| vec![Invalid::value(ADVANCE_SECONDS, error.to_string())])?;
    let done = background::run_once(&app.service).await;
    done.map_err(|error| ApiError::unavailable(RETRY_AFTER_SECONDS).caused_by(error))?;
    Ok(Json(ClockView::from(&*sandbox.clock)))
}

fn seconds(mut fields: Fields) -> Result<i64, Faults> {
    let seconds = fields.required_whole(ADVANCE_SECONDS, 1..=ADVANCE_MAX);
    fields.finish(seconds)
}
