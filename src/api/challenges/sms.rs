//! `/v1/mfa/challenges/sms`: log-ins by a code that is sent by SMS (docs/api-design.md#sms-challenges).

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{post, put};
use axum::{Json, Router};

use crate::api::App;
use crate::api::answer::answer;
use crate::api::caller::Authenticated;
use crate::api::devices::{device_data, language, person_id, sms_challenge};
use crate::api::fields::Fields;
use crate::api::idempotency::Once;
use crate::api::numbers::code;
use crate::api::path::PathIds;
use crate::api::views::ChallengeView;
use crate::crypto::Otp;
use crate::domain::challenges::ChallengeKind;
use crate::domain::invalid::Faults;
use crate::service::{OpenSmsChallenge, RequestSmsChallenge};

/// The kind of the challenges of these routes.
const KIND: ChallengeKind = ChallengeKind::Sms;

/// The names that the code may have in a body.
const CODE_NAMES: [&str; 4] = ["code", "otp", "tan", "token"];

/// The routes.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/mfa/challenges/sms", post(open))
        .route("/v1/mfa/challenges/sms/{id}", put(verify).get(show))
}

/// Opens a challenge and sends its code.
async fn open(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    path: PathIds,
    Once { repeatable, body }: Once,
) -> Response {
    let request = body.read(request_sms_challenge);
    let opened = async |run| app.service.request_sms_challenge(&caller, request?, run).await;
    let opened = app.service.once(&caller, repeatable, opened).await;
    answer(opened, &path, |challenge| (StatusCode::CREATED, Json(view(challenge))))
}

/// Shows a challenge while it is open.
async fn show(State(app): State<App>, Authenticated(caller): Authenticated, path: PathIds) -> Response {
    let challenge = async { app.service.sms_challenge(&caller, path.challenge(KIND)?).await };
    answer(challenge.await, &path, |challenge| Json(view(challenge)))
}

/// Verifies the code that the person typed.
async fn verify(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    path: PathIds,
    Once { repeatable, body }: Once,
) -> Response {
    let given = body.read(typed_code);
    let verified = async |run| app.service.answer_sms_challenge(&caller, path.challenge(KIND)?, given, run).await;
    let verified = app.service.once(&caller, repeatable, verified).await;
    answer(verified, &path, |()| StatusCode::NO_CONTENT)
}

fn view(challenge: OpenSmsChallenge) -> ChallengeView {
    ChallengeView::new(KIND, challenge.id, challenge.life)
}

fn request_sms_challenge(mut fields: Fields) -> Result<RequestSmsChallenge, Faults> {
    let person_id = fields.required("person_id", person_id);
    let language = fields.optional("language", language);
    let app_signature = sms_challenge(&mut fields);
    let device_data = fields.optional_opaque("device_data", device_data);
    let request = person_id.map(|person_id| RequestSmsChallenge { person_id, app_signature, language, device_data });
    fields.finish(request)
}

fn typed_code(mut fields: Fields) -> Result<Otp, Faults> {
    let mut names = CODE_NAMES.into_iter().filter(|name| fields.has(name));
    let (name, others) = (names.next(), names.collect::<Vec<_>>());
    let typed = fields.required(name.unwrap_or(CODE_NAMES[0]), code);
    for other in others {
        fields.fault(other, "must be absent: another field has the code");
    }
    fields.finish(typed)
}
