//! /v1/mfa/devices/{id}/keys (contract section 4.6).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::api::App;
use crate::api::body::JsonBody;
use crate::api::caller::Authenticated;
use crate::api::challenges::signatures::signature;
use crate::api::devices::{device_data, device_id, key_purpose, key_type, public_key};
use crate::api::error::ApiError;
use crate::api::fields::Fields;
use crate::api::idempotency::Once;
use crate::api::path::PathIds;
use crate::api::refusals::{Regarding, key_not_found};
use crate::api::views::{DeviceKeysView, IdView, KeyView};

use crate::domain::id::KeyId;
use crate::domain::invalid::Faults;
use crate::service::{AddKey, AddKeyError};

/// Adds a key that an existing key vouches for.
pub(in crate::api) async fn add(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    path: PathIds,
    once: Once,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let device = device_id(&path)?;
    let wish = body.read(add_key);
    let regarding = path.shown("id");
    let respond = move |outcome: Result<KeyId, AddKeyError>| {
        let id = outcome.map_err(|error| Regarding(regarding.clone(), error))?;
        Ok((StatusCode::CREATED, Json(IdView { id: id.to_string() })).into_response())
    };
    let keeping = once.keeping(respond.clone());
    respond(app.service.add_key(&caller, device, wish, &keeping).await)
}

/// Shows a device with its keys, as an array of one.
pub(in crate::api) async fn list(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    path: PathIds,
) -> Result<impl IntoResponse, ApiError> {
    let device = device_id(&path)?;
    let with_keys = app.service.device_with_keys(&caller, device).await;
    let with_keys = with_keys.map_err(|error| Regarding(path.shown("id"), error))?;
    Ok(Json([DeviceKeysView::from(with_keys)]))
}

/// Shows a key.
pub(in crate::api) async fn show(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    path: PathIds,
) -> Result<impl IntoResponse, ApiError> {
    let device = device_id(&path)?;
    let not_found = || key_not_found(&path.shown("key_id"));
    let key = KeyId::parse(path.text("key_id")).ok_or_else(not_found)?;
    let key = app.service.key(&caller, device, key).await?.ok_or_else(not_found)?;
    Ok(Json(KeyView::from(&key)))
}

fn add_key(mut fields: Fields) -> Result<AddKey, Faults> {
    let key = fields.required("key", |text| Ok((public_key(text)?, text.to_owned())));
    let key_type = fields.required("key_type", key_type);
    let purpose = fields.optional("key_purpose", key_purpose);
    let device_signature = fields.required_object("device_signature", |inner| {
        let purpose = inner.required("device_signature.signature_key_purpose", key_purpose);
        let signature = inner.required("device_signature.signature", signature);
        purpose.zip(signature)
    });
    let device_data = fields.optional_opaque("device_data", device_data);
    let wish = key.zip(key_type.and(device_signature)).map(|((key, key_text), (vouching_purpose, signature))| AddKey {
        key,
        key_text,
        purpose: purpose.unwrap_or_default(),
        vouching_purpose,
        signature,
        device_data,
    });
    fields.finish(wish)
}
