//! /v1/mfa/challenges/devices: the challenges of bound devices (docs/api-design.md#device-challenges).

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{HeaderMap, HeaderName};
use axum::response::{IntoResponse, Response};
use axum::routing::{post, put};
use axum::{Json, Router};
use serde::Serialize;

use crate::api::App;
use crate::api::answer::answer;
use crate::api::caller::Authenticated;
use crate::api::challenges::approval::{approval, line_value};
use crate::api::challenges::signatures::signature;
use crate::api::devices::{device_data, key_purpose};
use crate::api::fields::{Fields, one_of};
use crate::api::idempotency::Once;
use crate::api::path::PathIds;
use crate::api::views::{ChallengeView, instant};
use crate::domain::approvals::{Approval, LineValue};
use crate::domain::challenges::signing_text::TextToSign;
use crate::domain::challenges::{ChallengeKind, Decision};
use crate::domain::id::DeviceId;
use crate::domain::invalid::Faults;
use crate::service::{ChallengeDevice, DeviceAnswer, DeviceVerification, OpenDeviceChallenge};

/// The kind of its challenges.
const KIND: ChallengeKind = ChallengeKind::Device;

const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// The preference for an answer with a body (RFC 7240 section 4.2).
const REPRESENTATION: &str = "return=representation";

/// Its routes.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/mfa/challenges/devices", post(open))
        .route("/v1/mfa/challenges/devices/{id}", put(verify).get(show))
}

/// Opens a challenge for a bound device.
async fn open(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    path: PathIds,
    Once { repeatable, body }: Once,
) -> Response {
    let wish = body.read(challenge_device);
    let opened = async |run| app.service.challenge_device(&caller, wish?, run).await;
    let opened = app.service.once(&caller, repeatable, opened).await;
    answer(opened, &path, |challenge| (StatusCode::CREATED, Json(DeviceChallengeView::from(challenge))))
}

/// Shows a challenge while it is open.
async fn show(State(app): State<App>, Authenticated(caller): Authenticated, path: PathIds) -> Response {
    let challenge = async { app.service.device_challenge(&caller, path.challenge(KIND)?).await };
    answer(challenge.await, &path, |challenge| Json(DeviceChallengeView::from(challenge)))
}

/// Verifies the signature over the challenge's text.
async fn verify(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    path: PathIds,
    headers: HeaderMap,
    Once { repeatable, body }: Once,
) -> Response {
    let given = body.read(device_answer);
    let verified = async |run| app.service.answer_device_challenge(&caller, path.challenge(KIND)?, given, run).await;
    let verified = app.service.once(&caller, repeatable, verified).await;
    answer(verified, &path, |verification| {
        if prefers_representation(&headers) {
            let applied = [(PREFERENCE_APPLIED, REPRESENTATION)];
            (applied, Json(DeviceVerificationView::from(verification))).into_response()
        } else {
            StatusCode::NO_CONTENT.into_response()
        }
    })
}

/// Whether a `Prefer` header asks for a body. Preferences are separated by commas and may have parameters (RFC 7240).
fn prefers_representation(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    let mut preferences = lines.flat_map(|line| line.split(',')).filter_map(|preference| preference.split(';').next());
    // Of two values for one preference the first counts (RFC 7240 section 2).
    let wanted = preferences.find_map(|preference| {
        let (name, value) = preference.split_once('=')?;
        name.trim().eq_ignore_ascii_case("return").then(|| value.trim().trim_matches('"').to_owned())
    });
    wanted.is_some_and(|value| value == "representation")
}

fn challenge_device(mut fields: Fields) -> Result<ChallengeDevice, Faults> {
    // An id that cannot be one names no device, like an unknown one.
    let device_id = fields.required("device_id", |text| DeviceId::parse(text).ok_or_else(|| UNKNOWN_DEVICE.to_owned()));
    let key_purpose = fields.optional("key_purpose", |text| match text {
        "" => Ok(None),
        text => key_purpose(text).map(Some),
    });
    let device_data = fields.optional_opaque("device_data", device_data);
    let approval = fields.optional_object("approval", approval);
    let wish = device_id.map(|device_id| ChallengeDevice {
        device_id,
        key_purpose: key_purpose.flatten(),
        device_data,
        approval,
    });
    fields.finish(wish)
}

/// The message about a device that the partner does not have.
pub(in crate::api) const UNKNOWN_DEVICE: &str = "device-id invalid";

fn device_answer(mut fields: Fields) -> Result<DeviceAnswer, Faults> {
    let signature = fields.required("signature", signature);
    let device_data = fields.optional_opaque("device_data", device_data);
    let approval = fields.optional_object("approval", approval);
    let default = (!fields.has("decision")).then_some(Decision::Approved);
    let decision = fields.optional("decision", one_of(Decision::parse, "approved, declined")).or(default);
    let reason = fields.optional("reason", line_value);
    if reason.is_some() && decision == Some(Decision::Approved) {
        fields.fault("reason", "is for a decline only");
    }
    let answer = signature.zip(decision).map(|(signature, decision)| DeviceAnswer {
        signature,
        decision,
        reason,
        approval,
        device_data,
    });
    fields.finish(answer)
}

/// An open device challenge.
#[derive(Serialize)]
struct DeviceChallengeView {
    #[serde(flatten)]
    challenge: ChallengeView,
    string_to_sign: TextToSign,
    #[serde(skip_serializing_if = "Option::is_none")]
    approval: Option<Approval>,
}

impl From<OpenDeviceChallenge> for DeviceChallengeView {
    fn from(challenge: OpenDeviceChallenge) -> Self {
        Self {
            challenge: ChallengeView::new(KIND, challenge.id, challenge.life),
            string_to_sign: challenge.text,
            approval: challenge.approval,
        }
    }
}

/// The result of an answered challenge.
#[derive(Serialize)]
struct DeviceVerificationView {
    id: String,
    decision: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<LineValue>,
    device_id: String,
    key_id: String,
    key_purpose: &'static str,
    person_id: String,
    verified_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    approval: Option<Approval>,
}

impl From<DeviceVerification> for DeviceVerificationView {
    fn from(verification: DeviceVerification) -> Self {
        Self {
            id: verification.id.to_string(),
            decision: verification.decision.as_str(),
            reason: verification.reason,
            device_id: verification.device_id.to_string(),
            key_id: verification.key_id.to_string(),
            key_purpose: verification.key_purpose.as_str(),
            person_id: verification.person_id.to_string(),
            verified_at: instant(verification.verified_at),
            approval: verification.approval,
        }
    }
}
