//! Sample migrations: one of each change that CONTRIBUTING.md allows, and some that it forbids.

use std::borrow::Cow;

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

use crate::harness::Engine;

/// Changes that the previous release does not notice.
pub(crate) fn expanding(engine: Engine) -> &'static [&'static str] {
    match engine {
        Engine::Sqlite => &[
            "alter table device add column colour text;",
            "alter table device add column locale text not null default 'en';",
            NEW_TABLE,
            "create index device_by_colour on device (partner_id, colour);",
        ],
        Engine::Postgres | Engine::Distributed | Engine::Citus => &[
            "alter table device add column colour text;",
            "alter table device add column locale text not null default 'en';",
            NEW_TABLE,
            "-- no-transaction\n\
             create index concurrently if not exists device_by_colour on device (partner_id, colour);",
            "alter table device add constraint device_colour check (colour in ('red', 'blue')) not valid;",
            "alter table device validate constraint device_colour;",
            "alter table device
                drop constraint device_colour,
                 add constraint device_colours check (colour in ('red', 'blue', 'green')) not valid;",
            "alter table device validate constraint device_colours;",
        ],
    }
}

const NEW_TABLE: &str = "create table device_note (
    partner_id text not null,
    device_id  text not null,
    note       text not null,
    primary key (partner_id, device_id)
);";

/// The grants that an operator gives after [`expanding`].
pub(crate) const GRANTS: &str = "grant select, insert, update, delete on device_note to device_management";

/// Removals of columns, tables and indexes that no running release uses.
pub(crate) fn contracting(engine: Engine) -> &'static [&'static str] {
    match engine {
        Engine::Sqlite => &[
            "-- contract: 1.0.0 does not use it\ndrop index device_by_colour; alter table device drop column colour;",
            "-- contract: 1.0.0 does not use it\nalter table device drop column locale;",
            "-- contract: 1.0.0 does not use it\ndrop table device_note;",
        ],
        Engine::Postgres | Engine::Distributed | Engine::Citus => &[
            "-- no-transaction\n-- contract: 1.0.0 does not use it\n\
             drop index concurrently if exists device_by_colour;",
            "-- contract: 1.0.0 does not use it\nalter table device drop column colour;",
            "-- contract: 1.0.0 does not use it\nalter table device drop column locale;",
            "-- contract: 1.0.0 does not use it\ndrop table device_note;",
        ],
    }
}

/// Changes that break a running release.
pub(crate) const BREAKING: [&str; 2] =
    ["alter table device rename column name to title;", "alter table device_challenge drop column reason;"];

/// Changes that block requests for the time in which a table is read or rewritten.
pub(crate) const BLOCKING: [&str; 2] = [
    "create index device_by_name on device (partner_id, name, person_id);",
    "alter table device alter column failures type numeric;",
];

/// The migrations of this build, and more.
pub(crate) fn and_then(engine: Engine, more: &[&'static str]) -> Migrator {
    let known = match engine {
        Engine::Sqlite => sqlx::migrate!("migrations/sqlite"),
        Engine::Postgres | Engine::Distributed | Engine::Citus => sqlx::migrate!("migrations/postgres"),
    };
    let more = (9_000_000..).zip(more).map(|(version, sql)| {
        let no_transaction = sql.starts_with("-- no-transaction");
        Migration::new(version, Cow::Borrowed("more"), MigrationType::Simple, sql.into_sql_str(), no_transaction)
    });
    Migrator::with_migrations(known.iter().cloned().chain(more).collect())
}
