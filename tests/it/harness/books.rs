//! The books: what the tables must agree on, whatever was raced before.
//!
//! Counts that the store keeps beside the rows that they count are what a lost race would break first.

use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, PgConnection};

use super::{Engine, TestDatabase};

/// Rows that must not be there, and what they would mean.
const FAULTS: [(&str, &str); 6] = [
    (
        "a person's count of devices is not the number of their live devices",
        "select count(*) from person p
          where p.bound_devices <> (select count(*) from device d
                                     where d.partner_id = p.partner_id and d.person_id = p.person_id
                                       and d.deleted_at is null)",
    ),
    (
        "a person's count of deleted devices is not the number of their tombstones",
        "select count(*) from person p
          where p.deleted_devices <> (select count(*) from device d
                                       where d.partner_id = p.partner_id and d.person_id = p.person_id
                                         and d.deleted_at is not null)",
    ),
    (
        "a live device belongs to nobody",
        "select count(*) from device d
          where d.deleted_at is null
            and not exists (select 1 from person p where p.partner_id = d.partner_id and p.person_id = d.person_id)",
    ),
    (
        "a device's count of keys is not the number of its live keys",
        "select count(*) from device d
          where d.live_keys <> (select count(*) from device_key k
                                 where k.partner_id = d.partner_id and k.device_id = d.device_id
                                   and k.deleted_at is null)",
    ),
    (
        "a key belongs to no device",
        "select count(*) from device_key k
          where not exists (select 1 from device d where d.partner_id = k.partner_id and d.device_id = k.device_id)",
    ),
    (
        "a device is alive without a key, or deleted with one",
        "select count(*) from device
          where (deleted_at is null) <> (live_keys > 0)
             or state <> case when deleted_at is null then 'live' else 'deleted' end",
    ),
];

/// Holds all rows of the database against each other.
pub(crate) async fn assert_balanced(database: &TestDatabase) {
    for (meaning, statement) in FAULTS {
        assert_eq!(count(database, statement).await, 0, "{meaning}");
    }
}

/// The one number that a statement gives.
pub(crate) async fn count(database: &TestDatabase, statement: &'static str) -> i64 {
    let url = database.url();
    let query = match database.engine() {
        Engine::Sqlite => {
            let mut connection = SqliteConnection::connect(url).await.expect("the test's database is there");
            sqlx::query_scalar(statement).fetch_one(&mut connection).await
        }
        Engine::Postgres | Engine::Distributed => {
            let mut connection = PgConnection::connect(url).await.expect("the test's database is there");
            sqlx::query_scalar(statement).fetch_one(&mut connection).await
        }
    };
    query.expect("the statement gives one number")
}
