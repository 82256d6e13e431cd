//! Migrations: locks, timeouts and log messages; the lint of statements that would block requests; databases of other
//! builds.

mod lint;
mod locks;
mod other_builds;
