//! A SQLite database with room for so many more writes, and none after that: what is rolled back gives its room back, as on
//! a disk.
//!
//! Triggers take the room. Where none is left they write to a table whose row numbers are used up, and of that SQLite says
//! what it says of a full disk (`SQLITE_FULL`). It then undoes the statement; on a disk that is full, or broken, it may undo
//! the whole transaction by itself, and that no trigger can bring about.

use std::sync::atomic::{AtomicI64, Ordering};

use super::fault::Moment;
use super::{Engine, TestDatabase, sql};

/// More room than any request takes.
pub(crate) const PLENTY: u16 = 1000;

/// `room_left` is null while there is no end of it.
const TABLES: &str = "
    create table full_disk (moment text not null primary key, room_left integer) strict;
    insert into full_disk values ('before', null), ('after', null);
    create table used_up (number integer primary key autoincrement, filler integer) strict;
    insert into sqlite_sequence (name, seq) values ('used_up', 9223372036854775807);
";

pub(crate) struct FullDisk {
    url: String,
    room: AtomicI64,
    /// What was written when there was last plenty.
    needed: AtomicI64,
}

impl FullDisk {
    /// Under a database, with room for everything so far.
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

    /// Leaves room for so many writes of one row; the one after them fails before or after it has changed its row.
    pub(crate) async fn fill(&self, writes: u16, moment: Moment) {
        let moment = if moment == Moment::After { "after" } else { "before" };
        sql::execute(&self.url, &format!("update full_disk set room_left = {writes} where moment = '{moment}'")).await;
        self.room.store(writes.into(), Ordering::SeqCst);
    }

    /// Makes room again. Whether it was full: whether less was written than when there was last plenty.
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
