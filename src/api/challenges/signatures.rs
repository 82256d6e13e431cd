//! `/v1/mfa/challenges/signatures`: the challenges of pending devices.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::put;
use axum::{Json, Router};

use crate::api::App;
use crate::api::answer::answer;
use crate::api::caller::Authenticated;
use crate::api::fields::{Fields, Parsed, with_form};
use crate::api::idempotency::Once;
use crate::api::path::PathIds;
use crate::api::views::ChallengeView;
use crate::crypto::{DerSignature, Form, InvalidSignature};
use crate::domain::challenges::ChallengeKind;
use crate::domain::invalid::Faults;
use crate::service::BindingAnswer;

/// The kind of the challenges of these routes.
const KIND: ChallengeKind = ChallengeKind::Binding;

/// The routes.
pub(super) fn routes() -> Router<App> {
    Router::new().route("/v1/mfa/challenges/signatures/{id}", put(verify).get(show))
}

/// Shows a challenge while it is open.
async fn show(State(app): State<App>, Authenticated(caller): Authenticated, path: PathIds) -> Response {
    let challenge = async { app.service.challenge(&caller, path.challenge(KIND)?).await };
    answer(challenge.await, &path, |challenge| Json(ChallengeView::new(KIND, challenge.id, challenge.life)))
}

/// Verifies possession of the device key and binds the device.
async fn verify(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    path: PathIds,
    Once { repeatable, body }: Once,
) -> Response {
    let given = body.read(binding_answer);
    let verified = async |run| app.service.verify_binding(&caller, path.challenge(KIND)?, given, run).await;
    let verified = app.service.once(&caller, repeatable, verified).await;
    answer(verified, &path, |()| StatusCode::NO_CONTENT)
}

fn binding_answer(mut fields: Fields) -> Result<BindingAnswer, Faults> {
    let signature = fields.required("signature", signature);
    let device_data = fields.optional_opaque("device_data", crate::api::devices::device_data);
    let answer = signature.map(|signature| BindingAnswer { signature, device_data });
    fields.finish(answer)
}

pub(in crate::api) fn signature(text: &str) -> Parsed<DerSignature> {
    DerSignature::from_hex(text).map_err(|error| {
        let is_too_long = matches!(error, InvalidSignature::Length { .. });
        with_form(&error, if is_too_long { None } else { Form::of_signature(text) })
    })
}
