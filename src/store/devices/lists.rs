//! Lists of devices: one page, and the total number.
//!
//! The cost of a page does not grow with the number of devices. A page begins at a position that an index finds; only a page number has to skip devices, and the caller bounds how many. Up to [`COUNTED_EXACTLY`]
//! devices per state (live, deleted) are counted with the page. Beyond that the total is read: a person's from the
//! person's row, a partner's from the last background count (see `counts`).
//!
//! Lists are ordered by id. Ids begin with the instant at which the device's registration began.

use sqlx::Row;
use uuid::Uuid;

use crate::domain::devices::Device;
use crate::domain::person::{PartnerId, PersonId};
use crate::store::Result;
use crate::store::dialect::Dialect;
use crate::store::lists::{Listed, Page, PageStart};
use crate::store::rows::{column, device};
use crate::store::sql_store::SqlStore;

/// Devices per state that are counted with each page; the statements repeat the number.
pub const COUNTED_EXACTLY: i64 = 1000;

/// Whether deleted devices are included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tombstones {
    /// Only live devices.
    Excluded,
    /// Live and deleted devices.
    Included,
}

/// The devices to list.
#[derive(Clone, Debug)]
pub struct DeviceQuery {
    /// The person's devices only, or all of the partner's.
    pub person_id: Option<PersonId>,
    /// Whether deleted devices are included.
    pub tombstones: Tombstones,
    /// Where the page begins.
    pub start: PageStart,
    /// Maximum number of devices on the page.
    pub limit: i64,
}

/// One page of devices. The total is exact for a person, and up to [`COUNTED_EXACTLY`].
pub type DevicePage = Page<Device>;

impl Listed for Device {
    fn place(&self) -> Uuid {
        self.id.uuid()
    }
}

/// Lists of devices.
#[macro_rules_attribute::apply(port)]
pub trait DeviceLists {
    /// A page of devices with the total.
    async fn devices(&self, partner: &PartnerId, query: &DeviceQuery) -> Result<DevicePage>;
}

#[async_trait::async_trait]
impl<DB: Dialect> DeviceLists for SqlStore<DB> {
    async fn devices(&self, partner: &PartnerId, query: &DeviceQuery) -> Result<DevicePage> {
        let (position, skipped) = query.start.from();
        // One extra row tells whether there are more.
        let mut statement = sqlx::query(statement(query))
            .bind(partner.as_str().to_owned())
            .bind(position.0)
            .bind(query.limit + 1)
            .bind(skipped);
        if let Some(person) = &query.person_id {
            statement = statement.bind(person.as_str().to_owned());
        }
        let rows = self.rows(statement).await?;
        // Every row has the total; the only row of an empty page has nothing else.
        let total = rows.first().map_or(Ok(0), |row| column::<DB, i64>(row, "total"))?;
        let devices = rows
            .iter()
            .filter(|row| row.try_get::<Option<Uuid>, _>("device_id").is_ok_and(|id| id.is_some()))
            .map(device::<DB>)
            .collect::<Result<_>>()?;
        Ok(Page::of(query.start, query.limit, total, devices))
    }
}

/// The number of rows: the stored count if it exceeds 1000, otherwise counted up to 1001. Ordered by the index, because
/// Postgres would otherwise scan the table for the first thousand rows, and for a small partner read all of it.
macro_rules! number_of {
    ($rows:literal, $kept:literal) => {
        concat!(
            "coalesce((select kept from (",
            $kept,
            ") many where kept > 1000)
                    , (select count(*)
                         from (select device_id
                                 from device
                                where ",
            $rows,
            "                   order by device_id desc
                                limit 1001) few))"
        )
    };
}

/// Devices of one state from a position on.
macro_rules! rows_from {
    ($rows:literal, $compare:literal, $order:literal) => {
        concat!(
            "select device_id, person_id, name, created_at, deleted_at
               from device
              where ",
            $rows,
            "   and device_id ",
            $compare,
            " $2
              order by ",
            $order
        )
    };
}

/// The page and the total in one statement, for a consistent snapshot.
macro_rules! list {
    ($total:expr, $page:expr) => {
        concat!(
            "select counts.total, page.device_id, page.person_id, page.name, page.created_at, page.deleted_at
               from (select ",
            $total,
            " as total) counts
               left join (",
            $page,
            "              limit $3 offset $4) page on true
              order by page.device_id desc"
        )
    };
}

/// Live devices, and live merged with deleted ones, in one direction.
macro_rules! lists {
    ([$live:literal, $live_kept:literal], [$deleted:literal, $deleted_kept:literal], $compare:literal, $order:literal) => {
        [
            list!(number_of!($live, $live_kept), rows_from!($live, $compare, $order)),
            list!(
                concat!(number_of!($live, $live_kept), " + ", number_of!($deleted, $deleted_kept)),
                concat!(
                    "select * from (select * from (",
                    rows_from!($live, $compare, $order),
                    " limit $3 + $4) live
                     union all
                     select * from (",
                    rows_from!($deleted, $compare, $order),
                    " limit $3 + $4) deleted) merged order by ",
                    $order
                )
            ),
        ]
    };
}

macro_rules! of_partner {
    ($compare:literal, $order:literal) => {
        lists!(
            ["partner_id = $1 and state = 'live'", "select live as kept from device_count where partner_id = $1"],
            ["partner_id = $1 and state = 'deleted'", "select deleted as kept from device_count where partner_id = $1"],
            $compare,
            $order
        )
    };
}

macro_rules! of_person {
    ($compare:literal, $order:literal) => {
        lists!(
            [
                "partner_id = $1 and person_id = $5 and state = 'live'",
                "select bound_devices as kept from person where partner_id = $1 and person_id = $5"
            ],
            [
                "partner_id = $1 and person_id = $5 and state = 'deleted'",
                "select deleted_devices as kept from person where partner_id = $1 and person_id = $5"
            ],
            $compare,
            $order
        )
    };
}

/// Without and with tombstones. Each filter has its own statement, because an optional filter would prevent the index
/// scan.
type Lists = [&'static str; 2];

const OF_PARTNER_AFTER: Lists = of_partner!("<", "device_id desc");
const OF_PARTNER_BEFORE: Lists = of_partner!(">", "device_id");
const OF_PERSON_AFTER: Lists = of_person!("<", "device_id desc");
const OF_PERSON_BEFORE: Lists = of_person!(">", "device_id");

fn statement(query: &DeviceQuery) -> &'static str {
    let [live, all] = match (&query.person_id, query.start) {
        (None, PageStart::Before(_)) => OF_PARTNER_BEFORE,
        (None, _) => OF_PARTNER_AFTER,
        (Some(_), PageStart::Before(_)) => OF_PERSON_BEFORE,
        (Some(_), _) => OF_PERSON_AFTER,
    };
    match query.tombstones {
        Tombstones::Excluded => live,
        Tombstones::Included => all,
    }
}
