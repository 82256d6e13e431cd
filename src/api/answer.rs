//! Renders the outcome of a use case as an HTTP answer.

use axum::http::header::HeaderName;
use axum::response::{IntoResponse, Response};

use super::error::ApiError;
use super::path::PathIds;
use super::refusals::refused;
use crate::service::{Answer, NotDone};

const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Renders a success with `show`, and a refusal or failure by the table of errors.
///
/// A repetition is rendered like the first answer; its errors have the id of the first request.
pub(super) fn answer<T, R: IntoResponse>(
    outcome: impl Into<Answer<T>>,
    path: &PathIds,
    show: impl FnOnce(T) -> R,
) -> Response {
    let Answer { outcome, repeats } = outcome.into();
    let replayed = repeats.is_some().then_some([(IDEMPOTENCY_REPLAYED, "true")]);
    let response = match outcome {
        Ok(done) => show(done).into_response(),
        Err(NotDone::Refused(refusal)) => refused(refusal, path).under(repeats).into_response(),
        Err(NotDone::Failed(failure)) => ApiError::from(failure).into_response(),
    };
    (replayed, response).into_response()
}
