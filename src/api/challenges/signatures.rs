//! /v1/mfa/challenges/signatures (contract sections 4.4 and 4.5).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::api::App;
use crate::api::body::JsonBody;
use crate::api::caller::Authenticated;
use crate::api::error::ApiError;
use crate::api::fields::{Fields, Parsed};
use crate::api::idempotency::Once;
use crate::api::path::PathIds;
use crate::api::refusals::{Regarding, challenge_not_found};
use crate::api::views::ChallengeView;
use crate::crypto::DerSignature;

use crate::domain::challenges::ChallengeId;
use crate::domain::invalid::Faults;
use crate::service::{BindingAnswer, VerifyBindingError};

/// Shows a challenge while it is open.
pub(in crate::api) async fn show(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    path: PathIds,
) -> Result<impl IntoResponse, ApiError> {
    let challenge = app.service.challenge(&caller, challenge_id(&path)?).await?;
    let challenge = challenge.ok_or_else(|| challenge_not_found(&path.shown("id")))?;
    Ok(Json(ChallengeView::new(challenge.id, challenge.life)))
}

/// Verifies possession of the device key and binds the device.
pub(in crate::api) async fn verify(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    path: PathIds,
    once: Once,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let id = challenge_id(&path)?;
    let answer = body.read(binding_answer);
    let regarding = path.shown("id");
    let respond = move |outcome: Result<(), VerifyBindingError>| {
        outcome.map_err(|error| Regarding(regarding.clone(), error))?;
        Ok(StatusCode::NO_CONTENT.into_response())
    };
    let keeping = once.keeping(respond.clone());
    respond(app.service.verify_binding(&caller, id, answer, &keeping).await)
}

fn challenge_id(path: &PathIds) -> Result<ChallengeId, ApiError> {
    ChallengeId::parse(path.text("id")).ok_or_else(|| challenge_not_found(&path.shown("id")))
}

fn binding_answer(mut fields: Fields) -> Result<BindingAnswer, Faults> {
    let signature = fields.required("signature", signature);
    let device_data = fields.optional_opaque("device_data", crate::api::devices::device_data);
    let answer = signature.map(|signature| BindingAnswer { signature, device_data });
    fields.finish(answer)
}

pub(in crate::api) fn signature(text: &str) -> Parsed<DerSignature> {
    DerSignature::from_hex(text).map_err(|error| error.to_string())
}
