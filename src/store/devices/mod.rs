//! Bound devices and their tombstones.

pub(in crate::store) mod counts;
pub(in crate::store) mod keys;
pub(in crate::store) mod lists;

use chrono::{DateTime, Utc};

use crate::domain::audit::AuditSubject;
use crate::domain::devices::Device;
use crate::domain::id::DeviceId;
use crate::domain::person::{PartnerId, PersonId};
use crate::store::audit::record::write_down;
use crate::store::dialect::Dialect;
use crate::store::rows::{column, device, person_id};
use crate::store::sql_store::SqlStore;
use crate::store::{AuditRecord, Result};

/// The result of a deletion.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DeleteOutcome {
    /// The device and its keys were deleted.
    Deleted,
    /// The device was already deleted; it belonged to this person.
    DeletedBefore(PersonId),
    /// The device does not exist.
    NotFound,
}

/// Bound devices.
#[macro_rules_attribute::apply(port)]
pub trait Devices {
    /// One device, deleted or not.
    async fn device(&self, partner: &PartnerId, id: DeviceId) -> Result<Option<Device>>;

    /// Deletes a device with all its keys, and decrements the person's device count. Sets the recorded event's subject
    /// to the person, under this salt.
    async fn delete_device(
        &self,
        partner: &PartnerId,
        id: DeviceId,
        now: DateTime<Utc>,
        record: &AuditRecord,
        salt: [u8; 16],
    ) -> Result<DeleteOutcome>;
}

#[async_trait::async_trait]
impl<DB: Dialect> Devices for SqlStore<DB> {
    async fn device(&self, partner: &PartnerId, id: DeviceId) -> Result<Option<Device>> {
        let query = sqlx::query(
            "select device_id, person_id, name, created_at, deleted_at
               from device
              where partner_id = $2
                and device_id = $1",
        )
        .bind(id.uuid())
        .bind(partner.as_str().to_owned());
        self.row(query).await?.map(|row| device::<DB>(&row)).transpose()
    }

    async fn delete_device(
        &self,
        partner: &PartnerId,
        id: DeviceId,
        now: DateTime<Utc>,
        record: &AuditRecord,
        salt: [u8; 16],
    ) -> Result<DeleteOutcome> {
        // Lock order as for accepting an answer: person, challenges, device, keys, so that the two cannot deadlock. Of two
        // concurrent deletions, the second waits for the person's row but still reads the device's old state and
        // decrements again; when it finds the device deleted it rolls back. Until then the count must not fall below
        // zero.
        let mut transaction = self.begin().await?;
        let persons = sqlx::query(
            "update person
                set bound_devices = bound_devices - 1
                  , deleted_devices = deleted_devices + 1
              where partner_id = $2
                and bound_devices > 0
                and person_id = (select d.person_id from device d
                                  where d.partner_id = $2 and d.state = 'live' and d.device_id = $1)
             returning person_id",
        )
        .bind(id.uuid())
        .bind(partner.as_str().to_owned())
        .fetch_all(&mut *transaction)
        .await?;
        sqlx::query("delete from device_challenge where partner_id = $2 and device_id = $1")
            .bind(id.uuid())
            .bind(partner.as_str().to_owned())
            .execute(&mut *transaction)
            .await?;
        let deleted = sqlx::query(
            "update device
                set state = 'deleted'
                  , deleted_at = $3
                  , live_keys = 0
              where partner_id = $2
                and state = 'live'
                and device_id = $1
             returning device_id",
        )
        .bind(id.uuid())
        .bind(partner.as_str().to_owned())
        .bind(now)
        .fetch_all(&mut *transaction)
        .await?;
        let Some(person) = persons.first().filter(|_| !deleted.is_empty()) else {
            transaction.rollback().await?;
            let tombstone = self.device(partner, id).await?;
            return Ok(tombstone.map_or(DeleteOutcome::NotFound, |it| DeleteOutcome::DeletedBefore(it.person_id)));
        };
        let person = person_id(&column::<DB, String>(person, "person_id")?)?;
        // All its keys are live. A condition on `deleted_at` would let Postgres choose the partner-wide index on live
        // keys.
        sqlx::query(
            "update device_key
                set deleted_at = coalesce(deleted_at, $3)
              where partner_id = $2
                and device_id = $1",
        )
        .bind(id.uuid())
        .bind(partner.as_str().to_owned())
        .bind(now)
        .execute(&mut *transaction)
        .await?;
        let mut record = record.clone();
        record.event.subject = Some(AuditSubject::new(person, salt));
        write_down::<DB>(&mut transaction, partner, &record).await?;
        transaction.commit().await?;
        Ok(DeleteOutcome::Deleted)
    }
}
