//! The JSON of answers. Field names and order are fixed by existing clients; absent values are omitted.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use crate::domain::challenges::{ChallengeId, ChallengeKind, ChallengeLife};
use crate::domain::devices::key::{DeviceKey, KEY_TYPE};
use crate::domain::devices::{Device, DeviceName, DeviceWithKeys};
use crate::service::Challenge;
use crate::store::NumberRecord;

/// RFC 3339 in UTC with whole seconds (docs/api-design.md#conventions).
pub(super) fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The answer to a binding request.
#[derive(Serialize)]
pub(super) struct BindingView {
    id: String,
    key_id: String,
    challenge: ChallengeView,
}

impl From<Challenge> for BindingView {
    fn from(challenge: Challenge) -> Self {
        Self {
            id: challenge.id.to_string(),
            key_id: challenge.key_id.to_string(),
            challenge: ChallengeView::new(ChallengeKind::Binding, challenge.id, challenge.life),
        }
    }
}

/// An open signature challenge.
#[derive(Serialize)]
pub(super) struct ChallengeView {
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    created_at: String,
    expires_at: String,
}

impl ChallengeView {
    pub(super) fn new(kind: ChallengeKind, id: ChallengeId, life: ChallengeLife) -> Self {
        Self {
            id: id.to_string(),
            kind: kind.wire_name(),
            created_at: instant(life.created_at),
            expires_at: instant(life.expires_at),
        }
    }
}

/// A device.
#[derive(Serialize)]
pub(super) struct DeviceView {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    person_id: String,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_at: Option<String>,
}

impl From<Device> for DeviceView {
    fn from(device: Device) -> Self {
        Self {
            id: device.id.to_string(),
            name: name(device.name.as_ref()),
            person_id: device.person_id.to_string(),
            created_at: instant(device.created_at),
            deleted_at: device.deleted_at.map(instant),
        }
    }
}

/// A device with its keys.
#[derive(Serialize)]
pub(super) struct DeviceKeysView {
    device_id: String,
    person_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_at: Option<String>,
    keys: Vec<KeyView>,
}

impl From<DeviceWithKeys> for DeviceKeysView {
    fn from(DeviceWithKeys { device, keys }: DeviceWithKeys) -> Self {
        Self {
            device_id: device.id.to_string(),
            person_id: device.person_id.to_string(),
            name: name(device.name.as_ref()),
            created_at: instant(device.created_at),
            deleted_at: device.deleted_at.map(instant),
            keys: keys.iter().map(KeyView::from).collect(),
        }
    }
}

/// A key, without the public key itself.
#[derive(Serialize)]
pub(super) struct KeyView {
    key_id: String,
    key_purpose: &'static str,
    key_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    used_at: Option<String>,
}

impl From<&DeviceKey> for KeyView {
    fn from(key: &DeviceKey) -> Self {
        Self {
            key_id: key.id.to_string(),
            key_purpose: key.purpose.as_str(),
            key_type: KEY_TYPE,
            used_at: key.used_at.map(instant),
        }
    }
}

/// The id of a created resource.
#[derive(Serialize)]
pub(super) struct IdView {
    pub(super) id: String,
}

/// A person's mobile number.
#[derive(Serialize)]
pub(super) struct MobileNumberView {
    id: String,
    number: String,
    verified: bool,
}

impl From<NumberRecord> for MobileNumberView {
    fn from(record: NumberRecord) -> Self {
        Self { id: record.id.to_string(), number: record.number.as_e164().to_owned(), verified: record.verified }
    }
}

fn name(name: Option<&DeviceName>) -> Option<String> {
    name.map(|name| name.as_str().to_owned())
}
