//! Consistency checks across tables, for use after races.
//!
//! The store keeps counts beside the rows that they count; a race condition would break these counts first.

use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, PgConnection};

use super::{Engine, TestDatabase};

/// Inconsistencies: the message, and a query that counts the inconsistent rows.
const FAULTS: [(&str, &str); 8] = [
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
        "a live device has no row in person",
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
        "a key has no row in device",
        "select count(*) from device_key k
          where not exists (select 1 from device d where d.partner_id = k.partner_id and d.device_id = k.device_id)",
    ),
    (
        "a device is live without a key, or deleted with one",
        "select count(*) from device
          where (deleted_at is null) <> (live_keys > 0)
             or state <> case when deleted_at is null then 'live' else 'deleted' end",
    ),
    ("a challenge has more than three wrong answers", "select count(*) from device_challenge where wrong_answers > 3"),
    (
        "an activation code was not ended by its last failure",
        "select count(*) from activation_code where failures > 5 or (failures = 5 and used_at is not null)",
    ),
];

/// Asserts that no table contradicts another.
pub(crate) async fn assert_balanced(database: &TestDatabase) {
    for (meaning, statement) in FAULTS {
        assert_eq!(count(database, statement).await, 0, "{meaning}");
    }
}

/// The number that a query returns.
pub(crate) async fn count(database: &TestDatabase, statement: &'static str) -> i64 {
    let url = database.url();
    let query = match database.engine() {
        Engine::Sqlite => {
            let mut connection = SqliteConnection::connect(url).await.expect("the test's database is reachable");
            sqlx::query_scalar(statement).fetch_one(&mut connection).await
        }
        Engine::Postgres | Engine::Distributed | Engine::Citus => {
            let mut connection = PgConnection::connect(url).await.expect("the test's database is reachable");
            sqlx::query_scalar(statement).fetch_one(&mut connection).await
        }
    };
    query.expect("the query returns one number")
}
