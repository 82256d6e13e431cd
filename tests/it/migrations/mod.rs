//! Migrations: locks, timeouts and log messages; the lint of statements that would block requests or break running
//! replicas; locks on a large table; databases of other builds.

mod lint;
mod locks;
mod other_builds;
pub(crate) mod samples;
mod table_locks;

use crate::harness::{Engine, Schema, TestDatabase};

/// An empty database.
pub(crate) async fn empty(engine: Engine) -> TestDatabase {
    static NO_TABLES: Schema = Schema::new(|_| Box::pin(async {}));
    NO_TABLES.database(engine).await
}
