//! The answer to a request: the outcome of its use case, rendered once.

use axum::http::header::HeaderName;
use axum::response::{IntoResponse, Response};

use super::error::ApiError;
use super::path::PathIds;
use super::refusals::refused;
use crate::service::{Answer, NotDone};

const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Renders an outcome: `show` what was done, the table of errors why it was not.
///
/// A repetition is rendered like the first answer, and its errors name the first request.
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
