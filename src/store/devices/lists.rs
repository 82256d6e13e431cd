//! Lists of devices: one page, and how many devices there are.
//!
//! The cost of a page does not grow with the number of devices. A page begins at a position in the list, which an index
//! finds; only a page number has to skip devices, and the caller bounds how many. Up to [`COUNTED_EXACTLY`] devices of a kind
//! (live, or deleted) are counted with the page. Beyond that the number is read: that of a person's devices from the person's
//! row, that of a partner's from what the background counted last (see `device_counts`).
//!
//! Lists are in the order of ids, which begin with the instant at which the registration of the device began.

use sqlx::Row;
use uuid::Uuid;

use crate::domain::devices::Device;
use crate::domain::person::{PartnerId, PersonId};
use crate::store::Result;
use crate::store::dialect::Dialect;
use crate::store::rows::{column, device};
use crate::store::sql_store::SqlStore;

/// So many devices of a kind are counted with each page; the statements say 1000 too.
pub const COUNTED_EXACTLY: i64 = 1000;

/// Whether deleted devices are wanted too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tombstones {
    /// Only what can sign.
    Excluded,
    /// Everything that ever could.
    Included,
}

/// The place of a device in lists, whatever their filter: they are ordered by id, newest first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Position(pub Uuid);

impl Position {
    /// Before the newest device.
    pub const NEWEST: Self = Self(Uuid::max());
    /// Behind the oldest device.
    pub const OLDEST: Self = Self(Uuid::nil());

    /// Where this device stands.
    #[must_use]
    pub fn of(device: &Device) -> Self {
        Self(device.id.uuid())
    }
}

/// Where a page begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PageStart {
    /// At the newest device, after so many others.
    Skipping(i64),
    /// At the first device that is older.
    After(Position),
    /// So that it ends with the last device that is newer.
    Before(Position),
}

/// Which devices to list.
#[derive(Clone, Debug)]
pub struct DeviceQuery {
    /// One person's, or all of the partner's.
    pub person_id: Option<PersonId>,
    /// Deleted ones too?
    pub tombstones: Tombstones,
    /// Where the page begins.
    pub start: PageStart,
    /// How many at most.
    pub limit: i64,
}

/// One page of a list, newest first.
#[derive(Clone, Debug)]
pub struct DevicePage {
    /// How many devices fit the query on all pages. Exact with a person and up to [`COUNTED_EXACTLY`].
    pub total: i64,
    /// The devices of this page.
    pub devices: Vec<Device>,
    /// Whether there may be newer ones before them.
    pub has_newer: bool,
    /// Whether there may be older ones behind them.
    pub has_older: bool,
}

/// Lists of devices.
#[macro_rules_attribute::apply(port)]
pub trait DeviceLists {
    /// A page of devices, and how many there are.
    async fn devices(&self, partner: &PartnerId, query: &DeviceQuery) -> Result<DevicePage>;
}

#[async_trait::async_trait]
impl<DB: Dialect> DeviceLists for SqlStore<DB> {
    async fn devices(&self, partner: &PartnerId, query: &DeviceQuery) -> Result<DevicePage> {
        let (position, skipped) = match query.start {
            PageStart::Skipping(devices) => (Position::NEWEST, devices),
            PageStart::After(position) | PageStart::Before(position) => (position, 0),
        };
        // One more than asked for tells whether there are more.
        let mut statement = sqlx::query(statement(query))
            .bind(partner.as_str().to_owned())
            .bind(position.0)
            .bind(query.limit + 1)
            .bind(skipped);
        if let Some(person) = &query.person_id {
            statement = statement.bind(person.as_str().to_owned());
        }
        let rows = self.rows(statement).await?;
        // The total stands in every row, and alone in the only row of an empty page.
        let total = rows.first().map_or(Ok(0), |row| column::<DB, i64>(row, "total"))?;
        let devices = rows
            .iter()
            .filter(|row| row.try_get::<Option<Uuid>, _>("device_id").is_ok_and(|id| id.is_some()))
            .map(device::<DB>)
            .collect::<Result<_>>()?;
        Ok(page(query, total, devices))
    }
}

/// Takes off the device that was one too many.
fn page(query: &DeviceQuery, total: i64, mut devices: Vec<Device>) -> DevicePage {
    let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
    let has_more = devices.len() > limit;
    let (has_newer, has_older) = match query.start {
        PageStart::Skipping(skipped) => (skipped > 0, has_more),
        PageStart::After(_) => (true, has_more),
        PageStart::Before(position) => (has_more, position != Position::OLDEST),
    };
    if let PageStart::Before(_) = query.start {
        devices.drain(..devices.len().saturating_sub(limit));
    } else {
        devices.truncate(limit);
    }
    DevicePage { total, devices, has_newer, has_older }
}

/// How many rows there are: as many as are kept if those are more than 1000, else counted that far. In the order of the
/// index, because Postgres would look for the first thousand in the table itself, and for a small partner read all of it.
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

/// Devices of one kind from a position on.
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

/// One statement gives the page and the total, so that both are of the same moment.
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

/// Live devices, and those merged with the deleted ones, in one of the two directions.
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

/// Without tombstones, and with them. A filter that is not there must not cost the index, so each has its statement.
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
