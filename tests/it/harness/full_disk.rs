//! Simulates a full disk under a SQLite database after a given number of row writes. A rollback frees the room again,
//! as on a disk.
//!
//! Triggers count the writes. With no room left they insert into a table whose row numbers are used up, for which
//! SQLite returns the error of a full disk (`SQLITE_FULL`). SQLite then rolls back the statement. On a real disk it may
//! roll back the whole transaction, which triggers cannot simulate.

use std::sync::atomic::{AtomicI64, Ordering};

use super::fault::Moment;
use super::{Engine, TestDatabase, sql};

/// More room than any request takes.
pub(crate) const PLENTY: u16 = 1000;

/// `room_left` is null while the room is unlimited.
const TABLES: &str = "
    create table full_disk (moment text not null primary key, room_left integer) strict;
    insert into full_disk values ('before', null), ('after', null);
    create table used_up (number integer primary key autoincrement, filler integer) strict;
    insert into sqlite_sequence (name, seq) values ('used_up', 9223372036854775807);
";

pub(crate) struct FullDisk {
    url: String,
    room: AtomicI64,
    /// The number of writes in the last run with `PLENTY` of room.
    needed: AtomicI64,
}

impl FullDisk {
    /// Installs the triggers in a database, with unlimited room.
    pub(crate) async fn under(database: &TestDatabase) -> Self {
        assert_eq!(database.engine(), Engine::Sqlite);
        let url = database.url();
        let tables = "select name from sqlite_master where type = 'table' and name not like '\\_sqlx%' escape '\\'
                         and name not like 'sqlite\\_%' escape '\\'";
        let tables = sql::texts(url, tables).await;
        let mut statements = TABLES.to_owned();
        for table in tables {
            for write in ["insert", "update", "delete"] {
                for moment in ["before", "after"] {
                    statements += &trigger(&table, write, moment);
                }
            }
        }
        sql::execute(url, &statements).await;
        Self { url: url.to_owned(), room: AtomicI64::new(0), needed: AtomicI64::new(0) }
    }

    /// Leaves room for `writes` row writes; the next one fails before or after it has changed its row.
    pub(crate) async fn fill(&self, writes: u16, moment: Moment) {
        let moment = if moment == Moment::After { "after" } else { "before" };
        sql::execute(&self.url, &format!("update full_disk set room_left = {writes} where moment = '{moment}'")).await;
        self.room.store(writes.into(), Ordering::SeqCst);
    }

    /// Makes the room unlimited again. Returns whether the disk was full: whether fewer rows were written than in the
    /// last run with `PLENTY` of room.
    pub(crate) async fn make_room(&self) -> bool {
        let left = "select room_left || '' from full_disk where room_left is not null";
        let left = sql::texts(&self.url, left).await[0].parse::<i64>().expect("a number");
        sql::execute(&self.url, "update full_disk set room_left = null").await;
        let room = self.room.load(Ordering::SeqCst);
        let written = room - left;
        if room == i64::from(PLENTY) {
            self.needed.store(written, Ordering::SeqCst);
        }
        written < self.needed.load(Ordering::SeqCst)
    }
}

fn trigger(table: &str, write: &str, moment: &str) -> String {
    format!(
        "create trigger {table}_{write}_{moment} {moment} {write} on {table} begin
             insert into used_up (filler)
             select 1 from full_disk where moment = '{moment}' and room_left = 0;
             update full_disk set room_left = room_left - 1 where moment = '{moment}';
         end;"
    )
}
