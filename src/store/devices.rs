//! Bound devices and their tombstones.

use chrono::{DateTime, Utc};
use sqlx::Row;

use super::engine::Engine;
use super::record::write_down;
use super::rows::{column, device};
use super::sql_store::SqlStore;
use super::{Record, Result};
use crate::domain::device::Device;
use crate::domain::id::DeviceId;
use crate::domain::person::{PartnerId, PersonId};

/// Whether deleted devices are wanted too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tombstones {
    /// Only what can sign.
    Excluded,
    /// Everything that ever could.
    Included,
}

/// Which devices to list.
#[derive(Clone, Debug)]
pub struct DeviceQuery {
    /// One person's, or all of the partner's.
    pub person_id: Option<PersonId>,
    /// Deleted ones too?
    pub tombstones: Tombstones,
    /// How many to pass over.
    pub offset: i64,
    /// How many at most.
    pub limit: i64,
}

/// One page of a list, newest first.
#[derive(Clone, Debug)]
pub struct DevicePage {
    /// How many devices fit the query on all pages.
    pub total: i64,
    /// The devices of this page.
    pub devices: Vec<Device>,
}

/// What became of a deletion.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeleteOutcome {
    /// The device and its keys are tombstones now.
    Deleted,
    /// There is no such device, or it was deleted before.
    NotFound,
}

/// Bound devices.
#[async_trait::async_trait]
pub trait Devices {
    /// One device, deleted or not.
    async fn device(&self, partner: &PartnerId, id: DeviceId) -> Result<Option<Device>>;

    /// A page of devices and how many there are.
    async fn devices(&self, partner: &PartnerId, query: &DeviceQuery) -> Result<DevicePage>;

    /// Deletes a device with all its keys, and frees its place among the person's devices.
    async fn delete_device(
        &self,
        partner: &PartnerId,
        id: DeviceId,
        now: DateTime<Utc>,
        record: &Record,
    ) -> Result<DeleteOutcome>;
}

#[async_trait::async_trait]
impl<DB: Engine> Devices for SqlStore<DB> {
    async fn device(&self, partner: &PartnerId, id: DeviceId) -> Result<Option<Device>> {
        let query = sqlx::query(
            "select device_id, person_id, name, created_at, deleted_at
               from device
              where device_id = $1
                and partner_id = $2",
        )
        .bind(id.uuid())
        .bind(partner.as_str().to_owned());
        self.row(query).await?.map(|row| device::<DB>(&row)).transpose()
    }

    async fn devices(&self, partner: &PartnerId, query: &DeviceQuery) -> Result<DevicePage> {
        let sql = match (&query.person_id, query.tombstones) {
            (Some(_), Tombstones::Excluded) => OF_PERSON,
            (Some(_), Tombstones::Included) => OF_PERSON_WITH_TOMBSTONES,
            (None, Tombstones::Excluded) => OF_PARTNER,
            (None, Tombstones::Included) => OF_PARTNER_WITH_TOMBSTONES,
        };
        let mut statement = sqlx::query(sql).bind(partner.as_str().to_owned()).bind(query.limit).bind(query.offset);
        if let Some(person) = &query.person_id {
            statement = statement.bind(person.as_str().to_owned());
        }
        let rows = self.rows(statement).await?;
        // The total stands in every row, and alone in the only row of an empty page.
        let total = rows.first().map_or(Ok(0), |row| column::<DB, i64>(row, "total"))?;
        let devices = rows
            .iter()
            .filter(|row| row.try_get::<Option<uuid::Uuid>, _>("device_id").is_ok_and(|id| id.is_some()))
            .map(device::<DB>)
            .collect::<Result<_>>()?;
        Ok(DevicePage { total, devices })
    }

    async fn delete_device(
        &self,
        partner: &PartnerId,
        id: DeviceId,
        now: DateTime<Utc>,
        record: &Record,
    ) -> Result<DeleteOutcome> {
        // Person, device, keys: the order in which an acceptance takes its locks, so that the two cannot wait for each other.
        // Of two deletions at once, the one that waited for the person's row still sees the device as it was before. What it
        // subtracts is taken back below, when it finds the device deleted; it must only not fall below zero until then.
        let mut transaction = self.begin().await?;
        sqlx::query(
            "update person
                set bound_devices = bound_devices - 1
              where partner_id = $2
                and bound_devices > 0
                and person_id = (select d.person_id from device d
                                  where d.device_id = $1 and d.partner_id = $2 and d.deleted_at is null)",
        )
        .bind(id.uuid())
        .bind(partner.as_str().to_owned())
        .execute(&mut *transaction)
        .await?;
        let deleted = sqlx::query(
            "update device
                set deleted_at = $3
                  , live_keys = 0
              where device_id = $1
                and partner_id = $2
                and deleted_at is null
             returning device_id",
        )
        .bind(id.uuid())
        .bind(partner.as_str().to_owned())
        .bind(now)
        .fetch_all(&mut *transaction)
        .await?;
        if deleted.is_empty() {
            transaction.rollback().await?;
            return Ok(DeleteOutcome::NotFound);
        }
        // Its keys are all alive. To look for live ones would offer Postgres the index on those of the whole partner.
        sqlx::query(
            "update device_key
                set deleted_at = coalesce(deleted_at, $3)
              where device_id = $1
                and partner_id = $2",
        )
        .bind(id.uuid())
        .bind(partner.as_str().to_owned())
        .bind(now)
        .execute(&mut *transaction)
        .await?;
        write_down::<DB>(&mut transaction, partner, record).await?;
        transaction.commit().await?;
        Ok(DeleteOutcome::Deleted)
    }
}

/// One statement gives the page and the total, so that both are of the same moment. Four, because a filter that is not
/// there must not cost the index.
macro_rules! device_list {
    ($filter:literal) => {
        concat!(
            "select counted.total, page.device_id, page.person_id, page.name, page.created_at, page.deleted_at
               from (select count(*) as total from device where partner_id = $1 ",
            $filter,
            ") counted
               left join (select device_id, person_id, name, created_at, deleted_at
                            from device
                           where partner_id = $1 ",
            $filter,
            "       order by created_at desc, device_id desc
                           limit $2 offset $3) page on true
              order by page.created_at desc, page.device_id desc"
        )
    };
}

const OF_PARTNER: &str = device_list!("and deleted_at is null");
const OF_PARTNER_WITH_TOMBSTONES: &str = device_list!("");
const OF_PERSON: &str = device_list!("and person_id = $4 and deleted_at is null");
const OF_PERSON_WITH_TOMBSTONES: &str = device_list!("and person_id = $4");
