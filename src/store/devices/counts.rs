//! Stored device counts of partners that have too many devices to count with each list. Updated in the background.
//!
//! A count walks the index in short steps, also with ten million devices. Changes before the current position are left
//! to the next count.

use crate::domain::person::PartnerId;
use crate::store::devices::lists::COUNTED_EXACTLY;
use crate::store::dialect::Dialect;
use crate::store::lists::Position;
use crate::store::rows::column;
use crate::store::sql_store::SqlStore;
use crate::store::{Result, StoreError};

/// Devices per step; the statements repeat the number.
const STEP: i64 = 20_000;

/// The state of the devices that are counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeviceKind {
    /// Devices that can sign.
    Live,
    /// Tombstones.
    Deleted,
}

impl DeviceKind {
    /// The value of the column `state`.
    fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Deleted => "deleted",
        }
    }
}

/// A partner with devices or a stored count.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartnerDevices {
    /// The partner.
    pub partner: PartnerId,
    /// Whether lists need a stored count: the partner has more live or more deleted devices than [`COUNTED_EXACTLY`].
    pub are_many: bool,
    /// Whether a count is stored.
    pub are_kept: bool,
}

/// Stored counts of partners' devices.
#[macro_rules_attribute::apply(port)]
pub trait DeviceCounts {
    /// The next partner after this one with devices or a stored count.
    async fn next_partner_with_devices(&self, after: Option<&PartnerId>) -> Result<Option<PartnerDevices>>;

    /// Counts one step: the number of devices after this position, and the position reached, or `None` at the end.
    async fn count_devices(
        &self,
        partner: &PartnerId,
        kind: DeviceKind,
        after: Position,
    ) -> Result<(i64, Option<Position>)>;

    /// Stores the number of live and deleted devices.
    async fn keep_device_count(&self, partner: &PartnerId, live: i64, deleted: i64) -> Result<()>;

    /// Deletes the partner's stored count.
    async fn forget_device_count(&self, partner: &PartnerId) -> Result<()>;
}

/// The last device of a full step.
const LAST_OF_STEP: &str = "
    select device_id
      from device
     where partner_id = $1
       and state = $2
       and device_id < $3
     order by device_id desc
     limit 1 offset 19999";

/// The number of devices in the last step.
const REST: &str = "
    select count(*) as counted
      from (select device_id
              from device
             where partner_id = $1
               and state = $2
               and device_id < $3
             order by device_id desc
             limit 20000) rest";

#[async_trait::async_trait]
impl<DB: Dialect> DeviceCounts for SqlStore<DB> {
    async fn next_partner_with_devices(&self, after: Option<&PartnerId>) -> Result<Option<PartnerDevices>> {
        // One lookup per index.
        let query = sqlx::query(
            "select min(partner_id) as partner_id
               from (select min(partner_id) as partner_id from device where partner_id > $1
                     union all
                     select min(partner_id) from device_count where partner_id > $1) found",
        );
        let Some(partner) = self.partner(query, after).await? else { return Ok(None) };
        // At most a thousand devices of each state. Not one statement with the search for the partner: Citus sends a
        // statement to one node if it names the partner, and rejects such subqueries otherwise.
        let query = sqlx::query(
            "select live.counted as live, deleted.counted as deleted, kept.counted as kept
               from (select count(*) as counted
                       from (select device_id
                               from device
                              where partner_id = $1
                                and state = 'live'
                              order by device_id desc
                              limit 1001) found) live
                  , (select count(*) as counted
                       from (select device_id
                               from device
                              where partner_id = $1
                                and state = 'deleted'
                              order by device_id desc
                              limit 1001) found) deleted
                  , (select count(*) as counted from device_count where partner_id = $1) kept",
        )
        .bind(partner.as_str().to_owned());
        let row = self.row_in_order(query).await?.ok_or(StoreError::Corrupt { column: "counted" })?;
        let count = |name| column::<DB, i64>(&row, name);
        Ok(Some(PartnerDevices {
            partner,
            are_many: count("live")?.max(count("deleted")?) > COUNTED_EXACTLY,
            are_kept: count("kept")? > 0,
        }))
    }

    async fn count_devices(
        &self,
        partner: &PartnerId,
        kind: DeviceKind,
        after: Position,
    ) -> Result<(i64, Option<Position>)> {
        let query = |sql: &'static str| {
            sqlx::query(sql).bind(partner.as_str().to_owned()).bind(kind.as_str().to_owned()).bind(after.0)
        };
        if let Some(row) = self.row_in_order(query(LAST_OF_STEP)).await? {
            return Ok((STEP, Some(Position(column::<DB, _>(&row, "device_id")?))));
        }
        let row = self.row_in_order(query(REST)).await?.ok_or(StoreError::Corrupt { column: "counted" })?;
        Ok((column::<DB, _>(&row, "counted")?, None))
    }

    async fn keep_device_count(&self, partner: &PartnerId, live: i64, deleted: i64) -> Result<()> {
        let query = sqlx::query(
            "insert into device_count (partner_id, live, deleted)
             values ($1, $2, $3)
             on conflict (partner_id) do update
                set live = excluded.live
                  , deleted = excluded.deleted",
        )
        .bind(partner.as_str().to_owned())
        .bind(live)
        .bind(deleted);
        self.write(query).await?;
        Ok(())
    }

    async fn forget_device_count(&self, partner: &PartnerId) -> Result<()> {
        let query = sqlx::query("delete from device_count where partner_id = $1").bind(partner.as_str().to_owned());
        self.write(query).await?;
        Ok(())
    }
}
