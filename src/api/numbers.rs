//! `/v1/persons/{person_id}/mobile_number` (contract section 5).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::api::App;
use crate::api::body::{JsonBody, OptionalJsonBody};
use crate::api::caller::Authenticated;
use crate::api::devices::language;
use crate::api::error::ApiError;
use crate::api::fields::{Fields, Parsed};
use crate::api::idempotency::Once;
use crate::api::path::PathIds;
use crate::api::refusals::{Regarding, number_not_found};
use crate::api::views::MobileNumberView;
use crate::crypto::Otp;

use crate::domain::invalid::Faults;
use crate::domain::numbers::MobileNumber;
use crate::domain::person::PersonId;
use crate::domain::sms::language::Language;
use crate::service::MobileNumberError;
use crate::store::NumberRecord;

/// Shows the person's number.
pub(super) async fn show(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    path: PathIds,
) -> Result<impl IntoResponse, ApiError> {
    let person = person_id(&path)?;
    let record = app.service.mobile_number(&caller, &person).await;
    let record = record.map_err(|error| Regarding(person.to_string(), error))?;
    Ok(Json(MobileNumberView::from(record)))
}

/// Gives the person a number, verified or yet to be.
pub(super) async fn create(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    path: PathIds,
    once: Once,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let (number, verified) = body.read(new_number)?;
    let person = person_id(&path)?;
    let respond = created(&person);
    let keeping = once.keeping(respond.clone());
    respond(if verified {
        app.service.assert_mobile_number(&caller, &person, number, &keeping).await
    } else {
        app.service.create_mobile_number(&caller, &person, number, &keeping).await
    })
}

/// Sends a code to the number.
pub(super) async fn authorize(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    path: PathIds,
    once: Once,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let (number, language) = body.read(authorization)?;
    let person = person_id(&path)?;
    let respond = created(&person);
    let keeping = once.keeping(respond.clone());
    respond(app.service.authorize_mobile_number(&caller, &person, &number, language, &keeping).await)
}

/// Takes the code back from the person.
pub(super) async fn confirm(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    path: PathIds,
    once: Once,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let (number, token) = body.read(confirmation)?;
    let person = person_id(&path)?;
    let respond = created(&person);
    let keeping = once.keeping(respond.clone());
    respond(app.service.confirm_mobile_number(&caller, &person, &number, &token, &keeping).await)
}

/// 201 with the resource, also for what changed it (contract section 5).
fn created(
    person: &PersonId,
) -> impl Fn(Result<NumberRecord, MobileNumberError>) -> Result<Response, ApiError> + Clone + use<> {
    let person = person.to_string();
    move |outcome| {
        let record = outcome.map_err(|error| Regarding(person.clone(), error))?;
        Ok((StatusCode::CREATED, Json(MobileNumberView::from(record))).into_response())
    }
}

/// Takes the number away.
pub(super) async fn delete(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    path: PathIds,
    OptionalJsonBody(body): OptionalJsonBody,
) -> Result<impl IntoResponse, ApiError> {
    let number = body.map(|body| body.read(deletion)).transpose()?;
    let person = person_id(&path)?;
    let record = app.service.delete_mobile_number(&caller, &person, number.as_ref()).await;
    let record = record.map_err(|error| Regarding(person.to_string(), error))?;
    Ok(Json(MobileNumberView::from(record)))
}

fn person_id(path: &PathIds) -> Result<PersonId, ApiError> {
    PersonId::parse(path.text("person_id")).ok_or_else(|| number_not_found(&path.shown("person_id")))
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
    let token = fields.required("token", |text| Otp::parse(text).ok_or("must be six digits".to_owned()));
    fields.finish(number.zip(token))
}

fn deletion(mut fields: Fields) -> Result<MobileNumber, Faults> {
    let number = fields.required("number", mobile_number);
    fields.finish(number)
}

fn mobile_number(text: &str) -> Parsed<MobileNumber> {
    MobileNumber::parse(text).map_err(|error| error.to_string())
}
