//! The keys of bound devices.
//!
//! To find a device's live keys, statements use `cast(deleted_at as text) is null`, which hides the partial index on
//! live keys from Postgres: that index leads with the partner, and on a table that was never analysed Postgres
//! estimates almost no live rows, chooses it and reads all keys of the partner.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::crypto::PublicKey;
use crate::domain::devices::DeviceWithKeys;
use crate::domain::devices::key::{DeviceKey, KeyPurpose};
use crate::domain::failure_budget::FailureBudget;
use crate::domain::id::{DeviceId, KeyId};
use crate::domain::person::{PartnerId, PersonId};
use crate::store::audit::record::write_down;
use crate::store::dialect::Dialect;
use crate::store::error::is_key_taken;
use crate::store::persons::failures::forgive;
use crate::store::rows::{column, device, device_key};
use crate::store::sql_store::SqlStore;
use crate::store::{AuditRecord, Result, StoreError};

/// A key that an existing key of the device has signed, not yet stored.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Its id.
    pub id: KeyId,
    /// The device.
    pub device_id: DeviceId,
    /// The device's person, whose failures are reset.
    pub person_id: PersonId,
    /// The key.
    pub public_key: PublicKey,
    /// Its purpose.
    pub purpose: KeyPurpose,
    /// The key that signed it; its `used_at` is updated.
    pub signed_by: KeyId,
    /// Now.
    pub at: DateTime<Utc>,
    /// Maximum number of keys per device.
    pub key_limit: i64,
    /// The person's failure budget.
    pub budget: FailureBudget,
}

/// The result of adding a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AddedKey {
    /// The key is stored.
    Added,
    /// The device was deleted concurrently, or the person is cooling off.
    Overtaken,
    /// The device has reached the key limit.
    KeyLimit,
    /// A bound device of the partner already has this key.
    KeyTaken,
}

/// Keys of bound devices.
#[macro_rules_attribute::apply(port)]
pub trait Keys {
    /// A device, deleted or not, with its live keys.
    async fn device_with_keys(&self, partner: &PartnerId, id: DeviceId) -> Result<Option<DeviceWithKeys>>;

    /// One live key of one device.
    async fn key(&self, partner: &PartnerId, device: DeviceId, key: KeyId) -> Result<Option<DeviceKey>>;

    /// Adds a key and updates `used_at` of the key that signed it, in one transaction. Nothing is written unless the
    /// key is added.
    async fn add_key(&self, partner: &PartnerId, key: &NewKey, record: &AuditRecord) -> Result<AddedKey>;
}

#[async_trait::async_trait]
impl<DB: Dialect> Keys for SqlStore<DB> {
    async fn device_with_keys(&self, partner: &PartnerId, id: DeviceId) -> Result<Option<DeviceWithKeys>> {
        let query = sqlx::query(
            "select d.device_id, d.person_id, d.name, d.created_at, d.deleted_at
                  , k.key_id, k.purpose, k.public_key, k.used_at
               from device d
               left join device_key k on k.partner_id = d.partner_id
                                    and k.device_id = d.device_id
                                    and cast(k.deleted_at as text) is null
              where d.partner_id = $2
                and d.device_id = $1
              order by k.created_at, k.key_id",
        )
        .bind(id.uuid())
        .bind(partner.as_str().to_owned());
        let rows = self.rows(query).await?;
        let Some(first) = rows.first() else { return Ok(None) };
        let mut keys = Vec::with_capacity(rows.len());
        for row in &rows {
            // A deleted device is one row without a key.
            if column::<DB, Option<Uuid>>(row, "key_id")?.is_some() {
                keys.push(device_key::<DB>(row)?);
            }
        }
        Ok(Some(DeviceWithKeys { device: device::<DB>(first)?, keys }))
    }

    async fn key(&self, partner: &PartnerId, device: DeviceId, key: KeyId) -> Result<Option<DeviceKey>> {
        let query = sqlx::query(
            "select key_id, purpose, public_key, used_at
               from device_key
              where key_id = $1
                and device_id = $2
                and partner_id = $3
                and cast(deleted_at as text) is null",
        )
        .bind(key.uuid())
        .bind(device.uuid())
        .bind(partner.as_str().to_owned());
        self.row(query).await?.map(|row| device_key::<DB>(&row)).transpose()
    }

    async fn add_key(&self, partner: &PartnerId, key: &NewKey, record: &AuditRecord) -> Result<AddedKey> {
        let mut transaction = self.begin().await?;
        // Lock order of all writes: person, device, keys.
        let forgiven = forgive::<DB>(partner, &key.person_id, key.at, &key.budget);
        let forgiven = forgiven.fetch_all(&mut *transaction).await?;
        if forgiven.is_empty() {
            transaction.rollback().await?;
            return Ok(AddedKey::Overtaken);
        }
        // The lock on the device's row serializes concurrent additions, so that the limit holds.
        let live_keys = sqlx::query(
            "update device
                set live_keys = live_keys + 1
              where partner_id = $2
                and state = 'live'
                and device_id = $1
             returning live_keys",
        )
        .bind(key.device_id.uuid())
        .bind(partner.as_str().to_owned())
        .fetch_all(&mut *transaction)
        .await?;
        let Some(row) = live_keys.first() else {
            transaction.rollback().await?;
            return Ok(AddedKey::Overtaken);
        };
        if column::<DB, i64>(row, "live_keys")? > key.key_limit {
            transaction.rollback().await?;
            return Ok(AddedKey::KeyLimit);
        }
        let inserted = sqlx::query(
            "insert into device_key (key_id, device_id, partner_id, public_key, purpose, created_at)
             values ($1, $2, $3, $4, $5, $6)",
        )
        .bind(key.id.uuid())
        .bind(key.device_id.uuid())
        .bind(partner.as_str().to_owned())
        .bind(key.public_key.as_bytes().to_vec())
        .bind(key.purpose.as_str().to_owned())
        .bind(key.at)
        .execute(&mut *transaction)
        .await
        .map_err(StoreError::from);
        match inserted {
            Ok(_) => {}
            Err(error) if is_key_taken(&error) => {
                transaction.rollback().await?;
                return Ok(AddedKey::KeyTaken);
            }
            // After some errors SQLite has already rolled back, and a second rollback would fail.
            Err(error) => return Err(error),
        }
        sqlx::query("update device_key set used_at = $4 where partner_id = $1 and device_id = $2 and key_id = $3")
            .bind(partner.as_str().to_owned())
            .bind(key.device_id.uuid())
            .bind(key.signed_by.uuid())
            .bind(key.at)
            .execute(&mut *transaction)
            .await?;
        write_down::<DB>(&mut transaction, partner, record).await?;
        transaction.commit().await?;
        Ok(AddedKey::Added)
    }
}
