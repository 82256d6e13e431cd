//! `/v1/mfa/devices/{id}/keys`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use crate::api::App;
use crate::api::answer::answer;
use crate::api::caller::Authenticated;
use crate::api::challenges::signatures::signature;
use crate::api::devices::{device_data, key_purpose, key_type, public_key};
use crate::api::fields::Fields;
use crate::api::idempotency::Once;
use crate::api::path::PathIds;
use crate::api::views::{DeviceKeysView, IdView, KeyView};

use crate::domain::invalid::Faults;
use crate::service::AddKey;

/// Adds a key, signed with an existing key of the device.
pub(in crate::api) async fn add(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    path: PathIds,
    Once { repeatable, body }: Once,
) -> Response {
    let input = body.read(add_key);
    let added = async |run| app.service.add_key(&caller, path.device()?, input, run).await;
    let added = app.service.once(&caller, repeatable, added).await;
    answer(added, &path, |key| (StatusCode::CREATED, Json(IdView { id: key.id.to_string() })))
}

/// Shows a device with its keys, as an array of one.
pub(in crate::api) async fn list(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    path: PathIds,
) -> Response {
    let with_keys = async { app.service.device_with_keys(&caller, path.device()?).await };
    answer(with_keys.await, &path, |with_keys| Json([DeviceKeysView::from(with_keys)]))
}

/// Shows a key.
pub(in crate::api) async fn show(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    path: PathIds,
) -> Response {
    let key = async { app.service.key(&caller, path.device()?, path.key()?).await };
    answer(key.await, &path, |key| Json(KeyView::from(&key)))
}

fn add_key(mut fields: Fields) -> Result<AddKey, Faults> {
    let key = fields.required("key", |text| Ok((public_key(text)?, text.to_owned())));
    let key_type = fields.required("key_type", key_type);
    let purpose = fields.optional("key_purpose", key_purpose);
    let device_signature = fields.required_object("device_signature", |inner| {
        let purpose = inner.required("signature_key_purpose", key_purpose);
        let signature = inner.required("signature", signature);
        purpose.zip(signature)
    });
    let device_data = fields.optional_opaque("device_data", device_data);
    let input = key.zip(key_type.and(device_signature)).map(|((key, key_text), (signing_key_purpose, signature))| {
        AddKey { key, key_text, purpose: purpose.unwrap_or_default(), signing_key_purpose, signature, device_data }
    });
    fields.finish(input)
}
