//! `/v1/persons/{person_id}/mobile_number`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use crate::api::App;
use crate::api::answer::answer;
use crate::api::body::OptionalJsonBody;
use crate::api::caller::Authenticated;
use crate::api::devices::language;
use crate::api::fields::{Fields, Parsed};
use crate::api::idempotency::Once;
use crate::api::path::PathIds;
use crate::api::views::MobileNumberView;
use crate::crypto::Otp;

use crate::domain::invalid::Faults;
use crate::domain::numbers::MobileNumber;
use crate::domain::sms::language::Language;
use crate::store::NumberRecord;

/// Shows the person's number.
pub(super) async fn show(State(app): State<App>, Authenticated(caller): Authenticated, path: PathIds) -> Response {
    let number = async { app.service.mobile_number(&caller, &path.person()?).await };
    answer(number.await, &path, |number| Json(MobileNumberView::from(number)))
}

/// Creates the person's number, verified or unverified.
pub(super) async fn create(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    path: PathIds,
    Once { repeatable, body }: Once,
) -> Response {
    let input = body.read(new_number);
    let created = async |run| {
        let (number, verified) = input?;
        let person = path.person()?;
        if verified {
            app.service.assert_mobile_number(&caller, &person, number, run).await
        } else {
            app.service.create_mobile_number(&caller, &person, number, run).await
        }
    };
    let created = app.service.once(&caller, repeatable, created).await;
    answer(created, &path, changed)
}

/// Sends a code to the number.
pub(super) async fn authorize(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    path: PathIds,
    Once { repeatable, body }: Once,
) -> Response {
    let input = body.read(authorization);
    let sent = async |run| {
        let (number, language) = input?;
        app.service.authorize_mobile_number(&caller, &path.person()?, &number, language, run).await
    };
    let sent = app.service.once(&caller, repeatable, sent).await;
    answer(sent, &path, changed)
}

/// Verifies the code that the person entered.
pub(super) async fn confirm(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    path: PathIds,
    Once { repeatable, body }: Once,
) -> Response {
    let input = body.read(confirmation);
    let confirmed = async |run| {
        let (number, token) = input?;
        app.service.confirm_mobile_number(&caller, &path.person()?, &number, token, run).await
    };
    let confirmed = app.service.once(&caller, repeatable, confirmed).await;
    answer(confirmed, &path, changed)
}

/// 201 with the resource, for changes too (`openapi.yaml`).
fn changed(number: NumberRecord) -> (StatusCode, Json<MobileNumberView>) {
    (StatusCode::CREATED, Json(MobileNumberView::from(number)))
}

/// Deletes the number.
pub(super) async fn delete(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    path: PathIds,
    OptionalJsonBody(body): OptionalJsonBody,
) -> Response {
    let deleted = async {
        let number = body.map(|body| body.read(deletion)).transpose()?;
        app.service.delete_mobile_number(&caller, &path.person()?, number.as_ref()).await
    };
    answer(deleted.await, &path, |number| Json(MobileNumberView::from(number)))
}

fn new_number(mut fields: Fields) -> Result<(MobileNumber, bool), Faults> {
    let number = fields.required("number", mobile_number);
    let verified = fields.optional_bool("verified").unwrap_or(false);
    fields.finish(number.map(|number| (number, verified)))
}

fn authorization(mut fields: Fields) -> Result<(MobileNumber, Option<Language>), Faults> {
    let number = fields.required("number", mobile_number);
    let language = fields.optional("language", language);
    fields.finish(number.map(|number| (number, language)))
}

fn confirmation(mut fields: Fields) -> Result<(MobileNumber, Otp), Faults> {
    let number = fields.required("number", mobile_number);
    let token = fields.required("token", code);
    fields.finish(number.zip(token))
}

fn deletion(mut fields: Fields) -> Result<MobileNumber, Faults> {
    let number = fields.required("number", mobile_number);
    fields.finish(number)
}

pub(in crate::api) fn code(text: &str) -> Parsed<Otp> {
    Otp::parse(text).ok_or_else(|| "must be six digits".to_owned())
}

fn mobile_number(text: &str) -> Parsed<MobileNumber> {
    MobileNumber::parse(text).map_err(|error| error.to_string())
}
