//! Converts columns to domain types. A value that does not convert is `StoreError::Corrupt`, which names the column.

use sqlx::Row;

use super::{Result, StoreError};
use crate::crypto::PublicKey;
use crate::domain::devices::key::{DeviceKey, KeyPurpose};
use crate::domain::devices::{Device, DeviceName};
use crate::domain::person::{PartnerId, PersonId};
use crate::store::dialect::Dialect;

/// Reads one column.
pub(super) fn column<'r, DB: Dialect, T>(row: &'r DB::Row, name: &'static str) -> Result<T>
where
    T: sqlx::Decode<'r, DB> + sqlx::Type<DB>,
{
    row.try_get(name).map_err(|_| StoreError::Corrupt { column: name })
}

/// Reads `partner_id`.
pub(super) fn partner<DB: Dialect>(row: &DB::Row) -> Result<PartnerId> {
    let text = column::<DB, String>(row, "partner_id")?;
    PartnerId::parse(&text).ok_or(StoreError::Corrupt { column: "partner_id" })
}

pub(super) fn person_id(text: &str) -> Result<PersonId> {
    PersonId::parse(text).ok_or(StoreError::Corrupt { column: "person_id" })
}

pub(super) fn public_key(bytes: Vec<u8>) -> Result<PublicKey> {
    let point: [u8; 65] = bytes.try_into().map_err(|_| StoreError::Corrupt { column: "public_key" })?;
    Ok(PublicKey::from_trusted(point))
}

pub(super) fn purpose(text: &str) -> Result<KeyPurpose> {
    KeyPurpose::parse(text).ok_or(StoreError::Corrupt { column: "purpose" })
}

pub(super) fn device<DB: Dialect>(row: &DB::Row) -> Result<Device> {
    Ok(Device {
        id: column::<DB, uuid::Uuid>(row, "device_id")?.into(),
        person_id: person_id(&column::<DB, String>(row, "person_id")?)?,
        name: column::<DB, Option<String>>(row, "name")?.map(DeviceName::from_stored),
        created_at: column::<DB, _>(row, "created_at")?,
        deleted_at: column::<DB, _>(row, "deleted_at")?,
    })
}

pub(super) fn device_key<DB: Dialect>(row: &DB::Row) -> Result<DeviceKey> {
    Ok(DeviceKey {
        id: column::<DB, uuid::Uuid>(row, "key_id")?.into(),
        purpose: purpose(&column::<DB, String>(row, "purpose")?)?,
        public_key: public_key(column::<DB, _>(row, "public_key")?)?,
        used_at: column::<DB, _>(row, "used_at")?,
    })
}
