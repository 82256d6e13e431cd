//! Requirements on a database, checked at start-up. All problems are reported together, each with its remedy.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::SqliteConnection;
use sqlx::{ConnectOptions, Connection, PgConnection, Postgres, Sqlite};

use crate::store::connect::sqlite_options;
use crate::store::error::is_busy;
use crate::store::rows::column;
use crate::store::sqlite::PROVE_WRITABLE;
use crate::store::{Result, StoreError};

/// The oldest supported version of Postgres, by name and by `server_version_num`.
const OLDEST_POSTGRES: (&str, i64) = ("15", 150_000);

/// Checks the requirements on a Postgres database that the service cannot set for its sessions.
///
/// # Errors
/// [`StoreError::Unfit`] with all problems.
pub(in crate::store) async fn check_postgres(connection: &mut PgConnection) -> Result<()> {
    let row = sqlx::raw_sql(
        "select current_setting('server_version_num') as version
              , current_setting('server_version') as version_name
              , current_setting('server_encoding') as encoding
              , pg_is_in_recovery()::text as is_standby
              , current_setting('default_transaction_read_only') as read_only
              , current_setting('session_replication_role') as replication_role
              , exists (select 1 from pg_namespace
                         where nspname = 'public' and has_schema_privilege(oid, 'usage'))::text as has_schema",
    )
    .fetch_one(connection)
    .await?;
    let setting = |name| column::<Postgres, String>(&row, name);
    let mut problems = Vec::new();
    if setting("version")?.parse::<i64>().is_ok_and(|version| version < OLDEST_POSTGRES.1) {
        let (oldest, found) = (OLDEST_POSTGRES.0, setting("version_name")?);
        problems.push(format!("the server is Postgres {found}: upgrade it to {oldest} or later"));
    }
    let encoding = setting("encoding")?;
    if encoding != "UTF8" {
        problems.push(format!(
            "its encoding is {encoding}, which cannot hold every name: create a database with `create database ... \
             encoding 'UTF8' template template0`, and copy the data with pg_dump"
        ));
    }
    if setting("is_standby")? == "true" {
        problems
            .push("the server is a standby, which is read-only: use the primary, or promote the standby".to_owned());
    } else if setting("read_only")? == "on" {
        problems.push(
            "writes are forbidden: `default_transaction_read_only` is on for the role, the database or the server. \
             Find the cause (some providers set it when a disk is full), and reset it"
                .to_owned(),
        );
    }
    let replication_role = setting("replication_role")?;
    if replication_role != "origin" {
        problems.push(format!(
            "foreign keys are not checked: `session_replication_role` is {replication_role}. Reset it for the role and the \
             database"
        ));
    }
    if setting("has_schema")? != "true" {
        problems.push("the role lacks usage on the schema public: `grant usage on schema public to ...`".to_owned());
    }
    fit(problems)
}

/// Warns about settings that weaken durability or correctness but do not stop the service.
pub(in crate::store) async fn warn_about_postgres(connection: &mut PgConnection) -> Result<()> {
    let row = sqlx::raw_sql(
        "select current_setting('fsync') as fsync
              , current_setting('full_page_writes') as full_page_writes
              , coalesce((select datcollversion <> pg_database_collation_actual_version(oid)
                            from pg_database where datname = current_database()), false)::text as is_sorted_otherwise",
    )
    .fetch_one(connection)
    .await?;
    for setting in ["fsync", "full_page_writes"] {
        if column::<Postgres, String>(&row, setting)? == "off" {
            tracing::warn!(
                db.setting = setting,
                "committed writes are lost when the database server crashes: turn it on"
            );
        }
    }
    if column::<Postgres, String>(&row, "is_sorted_otherwise")? == "true" {
        tracing::warn!(
            "the database's collation version has changed since its indexes were built, so lookups may miss rows: run \
             `reindex database`, then `alter database ... refresh collation version`"
        );
    }
    Ok(())
}

/// Creates the SQLite file unless it exists, and checks its requirements. Waits up to `busy_timeout` for another
/// process that has locked it.
///
/// # Errors
/// [`StoreError::Unfit`] with all problems.
pub(in crate::store) async fn check_sqlite(file: &Path, busy_timeout: Duration) -> Result<()> {
    let options = sqlite_options(file).create_if_missing(true).busy_timeout(busy_timeout);
    let mut connection = match options.connect().await {
        Ok(connection) => connection,
        Err(error) if error.as_database_error().is_some_and(is_busy) => return Err(error.into()),
        Err(error) => return fit(vec![cannot_be_used(file, &error)]),
    };
    let problems = find_problems(file, &mut connection).await?;
    connection.close().await?;
    fit(problems)
}

async fn find_problems(file: &Path, connection: &mut SqliteConnection) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    sqlx::raw_sql("pragma busy_timeout = 0").execute(&mut *connection).await?;
    match sqlx::raw_sql(PROVE_WRITABLE).execute(&mut *connection).await {
        // Busy: another process is writing, so the file is writable.
        Err(error) if !error.as_database_error().is_some_and(is_busy) => {
            problems.push(cannot_be_used(file, &error));
            // A transaction may still be open.
            let _ = sqlx::raw_sql("rollback").execute(&mut *connection).await;
        }
        _ => {}
    }
    let journal = sqlx::raw_sql("pragma journal_mode").fetch_one(&mut *connection).await?;
    let journal = column::<Sqlite, String>(&journal, "journal_mode")?;
    if journal != "wal" {
        problems.push(format!(
            "{} cannot have a write-ahead log (its journal is `{journal}`): put it on a local disk",
            file.display()
        ));
    }
    let encoding = sqlx::raw_sql("pragma encoding").fetch_one(&mut *connection).await?;
    let encoding = column::<Sqlite, String>(&encoding, "encoding")?;
    if encoding != "UTF-8" {
        problems.push(format!("{} stores text as {encoding}: start with a new file", file.display()));
    }
    Ok(problems)
}

fn cannot_be_used(file: &Path, error: &sqlx::Error) -> String {
    let cause = error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned());
    format!(
        "{} cannot be written ({cause}): it must be a SQLite database or not exist yet; the service needs write permission on \
         it, on its -wal and -shm files and on its folder, on a file system that is neither read-only nor full",
        file.display()
    )
}

pub(super) fn fit(problems: Vec<String>) -> Result<()> {
    if problems.is_empty() { Ok(()) } else { Err(StoreError::Unfit(problems)) }
}
