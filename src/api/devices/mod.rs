//! `/v1/mfa/devices` (docs/api-design.md#devices).

pub(in crate::api) mod keys;
pub(in crate::api) mod listing;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::api::App;
use crate::api::answer::answer;
use crate::api::caller::Authenticated;
use crate::api::devices::listing::DeviceListing;
use crate::api::error::ApiError;
use crate::api::fields::{Fields, Parsed, one_of, out_of_bounds, with_form, within_bounds};
use crate::api::idempotency::Once;
use crate::api::path::PathIds;
use crate::api::views::{BindingView, DeviceView};
use crate::crypto::{Form, PublicKey};
use crate::domain::sms::app_signature::AppSignature;

use crate::domain::devices::device_data::{DEVICE_DATA_MAX, DeviceData};
use crate::domain::devices::key::{KEY_TYPE, KeyPurpose};
use crate::domain::devices::{DEVICE_NAME_MAX, DeviceName};
use crate::domain::invalid::Faults;
use crate::domain::person::{PERSON_ID_MAX, PersonId};
use crate::domain::sms::language::Language;
use crate::service::{BindDevice, BindingMeans};

/// Creates a pending device and sends its code.
pub(in crate::api) async fn bind(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    path: PathIds,
    Once { repeatable, body }: Once,
) -> Response {
    let input = body.read(bind_device);
    let asked = async |run| app.service.bind_device(&caller, input?, run).await;
    let asked = app.service.once(&caller, repeatable, asked).await;
    answer(asked, &path, |challenge| (StatusCode::ACCEPTED, Json(BindingView::from(challenge))))
}

/// Lists devices, newest first.
pub(in crate::api) async fn list(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    RawQuery(query): RawQuery,
) -> Result<impl IntoResponse, ApiError> {
    let listing = DeviceListing::parse(query.as_deref().unwrap_or_default())?;
    let page = app.service.devices(&caller, &listing.query()).await?;
    listing.paging.within_reach(&page)?;
    let headers = listing.headers(&page);
    let devices: Vec<DeviceView> = page.entries.into_iter().map(DeviceView::from).collect();
    Ok((headers, Json(devices)))
}

/// Shows a device, bound or deleted.
pub(in crate::api) async fn show(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    path: PathIds,
) -> Response {
    let device = async { app.service.device(&caller, path.device()?).await };
    answer(device.await, &path, |device| Json(DeviceView::from(device)))
}

/// Deletes a device with all its keys.
pub(in crate::api) async fn delete(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    path: PathIds,
) -> Response {
    let deleted = async { app.service.delete_device(&caller, path.device()?).await };
    answer(deleted.await, &path, |()| StatusCode::NO_CONTENT)
}

fn bind_device(mut fields: Fields) -> Result<BindDevice, Faults> {
    let person_id = fields.required("person_id", person_id);
    let key_type = fields.required("key_type", key_type);
    let means = fields.optional("challenge_type", challenge_type);
    let key = fields.required("key", public_key);
    let key_purpose = fields.optional("key_purpose", key_purpose);
    let name = fields.optional("name", device_name);
    let app_signature = sms_challenge(&mut fields);
    let language = fields.optional("language", language);
    let device_data = fields.optional_opaque("device_data", device_data);
    let input = person_id.zip(key_type.and(key)).map(|(person_id, key)| BindDevice {
        person_id,
        key,
        key_purpose: key_purpose.unwrap_or_default(),
        name,
        app_signature,
        language,
        device_data,
        means: means.unwrap_or_default(),
    });
    fields.finish(input)
}

fn challenge_type(text: &str) -> Parsed<BindingMeans> {
    let means = |text: &str| match text {
        "sms" => Some(BindingMeans::Sms),
        "activation_code" => Some(BindingMeans::ActivationCode),
        _ => None,
    };
    one_of(means, "sms, activation_code")(text)
}

fn device_name(text: &str) -> Parsed<DeviceName> {
    within_bounds(text, DEVICE_NAME_MAX)?;
    DeviceName::parse(text).ok_or_else(|| "must not contain control characters".to_owned())
}

fn app_signature(text: &str) -> Parsed<AppSignature> {
    AppSignature::parse(text).map_err(|error| error.to_string())
}

// The fields that the bodies of several resources share.

pub(in crate::api) fn person_id(text: &str) -> Parsed<PersonId> {
    within_bounds(text, PERSON_ID_MAX)?;
    PersonId::parse(text).ok_or_else(|| "must be visible ASCII characters".to_owned())
}

pub(in crate::api) fn sms_challenge(fields: &mut Fields) -> Option<AppSignature> {
    fields.optional_object("sms_challenge", |inner| inner.optional("app_signature", app_signature))
}

pub(in crate::api) fn key_type(text: &str) -> Parsed<()> {
    one_of(|text| (text == KEY_TYPE).then_some(()), KEY_TYPE)(text)
}

pub(in crate::api) fn public_key(text: &str) -> Parsed<PublicKey> {
    PublicKey::from_hex(text).map_err(|error| with_form(&error, Form::of_key(text)))
}

pub(in crate::api) fn key_purpose(text: &str) -> Parsed<KeyPurpose> {
    one_of(KeyPurpose::parse, "unrestricted, restricted")(text)
}

pub(in crate::api) fn language(text: &str) -> Parsed<Language> {
    one_of(Language::parse, "de, en, fr")(text)
}

pub(in crate::api) fn device_data(text: String) -> Parsed<DeviceData> {
    let length = text.len();
    DeviceData::parse(text).ok_or_else(|| out_of_bounds(length, DEVICE_DATA_MAX))
}
