//! Requirements on a database, checked at start-up and by `doctor`. All problems are reported together, each with its
//! remedy.

use std::path::Path;
use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteConnection;
use sqlx::{ConnectOptions, Connection, PgConnection, Postgres, Sqlite};

use crate::finding::{Finding, Status};
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
    let row = sqlx::raw_sql(REQUIREMENTS).fetch_one(connection).await?;
    fit(failures(&requirements(&row)?))
}

/// Warns about settings that weaken durability or correctness but do not stop the service.
pub(in crate::store) async fn warn_about_postgres(connection: &mut PgConnection) -> Result<()> {
    let row = sqlx::raw_sql(HAZARDS).fetch_one(connection).await?;
    for finding in hazards(&row)?.into_iter().filter(|finding| finding.status == Status::Warning) {
        tracing::warn!("{}", finding.text());
    }
    Ok(())
}

/// The columns that [`requirements`] judges, in one row.
pub(in crate::store) const REQUIREMENTS: &str = "
    select current_setting('server_version_num') as version
         , current_setting('server_version') as version_name
         , current_setting('server_encoding') as encoding
         , pg_is_in_recovery()::text as is_standby
         , current_setting('default_transaction_read_only') as read_only
         , current_setting('session_replication_role') as replication_role
         , exists (select 1 from pg_namespace
                    where nspname = 'public' and has_schema_privilege(oid, 'usage'))::text as has_schema";

/// The columns that [`hazards`] judges, in one row.
pub(in crate::store) const HAZARDS: &str = "
    select current_setting('fsync') as fsync
         , current_setting('full_page_writes') as full_page_writes
         , coalesce((select datcollversion <> pg_database_collation_actual_version(oid)
                       from pg_database where datname = current_database()), false)::text as is_sorted_otherwise";

/// The requirements: a failure prevents the start.
pub(in crate::store) fn requirements(row: &PgRow) -> Result<Vec<Finding>> {
    let setting = |name| column::<Postgres, String>(row, name);
    let (oldest, found) = (OLDEST_POSTGRES.0, setting("version_name")?);
    let version = if setting("version")?.parse::<i64>().is_ok_and(|version| version < OLDEST_POSTGRES.1) {
        let remedy = format!("upgrade it to {oldest} or later");
        Finding::failure("database.version", format!("the server is Postgres {found}"), remedy)
    } else {
        Finding::ok("database.version", format!("the server is Postgres {found}"))
    };
    let encoding = match &*setting("encoding")? {
        "UTF8" => Finding::ok("database.encoding", "its encoding is UTF8"),
        other => Finding::failure(
            "database.encoding",
            format!("its encoding is {other}, which cannot hold every name"),
            "create a database with `create database ... encoding 'UTF8' template template0`, and copy the data with \
             pg_dump",
        ),
    };
    let writable = if setting("is_standby")? == "true" {
        Finding::failure(
            "database.writable",
            "the server is a standby, which is read-only",
            "use the primary, or promote the standby",
        )
    } else if setting("read_only")? == "on" {
        Finding::failure(
            "database.writable",
            "writes are forbidden",
            "`default_transaction_read_only` is on for the role, the database or the server. Find the cause (some \
             providers set it when a disk is full), and reset it",
        )
    } else {
        Finding::ok("database.writable", "the server is a primary and allows writes")
    };
    let foreign_keys = match &*setting("replication_role")? {
        "origin" => Finding::ok("database.foreign_keys", "`session_replication_role` is origin"),
        other => Finding::failure(
            "database.foreign_keys",
            "foreign keys are not checked",
            format!("`session_replication_role` is {other}. Reset it for the role and the database"),
        ),
    };
    let schema = if setting("has_schema")? == "true" {
        Finding::ok("database.schema", "the role may use the schema public")
    } else {
        let remedy = "`grant usage on schema public to ...`";
        Finding::failure("database.schema", "the role lacks usage on the schema public", remedy)
    };
    Ok(vec![version, encoding, writable, foreign_keys, schema])
}

/// Settings that weaken durability or correctness, but do not stop the service.
pub(in crate::store) fn hazards(row: &PgRow) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (id, setting, consequence) in [
        ("database.fsync", "fsync", "a crash of the machine loses committed writes and can corrupt the database"),
        ("database.full_page_writes", "full_page_writes", "a crash of the machine can corrupt the database"),
    ] {
        findings.push(if column::<Postgres, String>(row, setting)? == "off" {
            let found = format!("`{setting}` is off, so {consequence}");
            Finding::warning(id, found, "turn it on")
        } else {
            Finding::ok(id, format!("`{setting}` is on"))
        });
    }
    findings.push(if column::<Postgres, String>(row, "is_sorted_otherwise")? == "true" {
        Finding::warning(
            "database.collation",
            "the database's collation version has changed since its indexes were built, so lookups may miss rows",
            "run `reindex database`, then `alter database ... refresh collation version`",
        )
    } else {
        Finding::ok("database.collation", "the collation version is that of the indexes")
    });
    Ok(findings)
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
    problems.extend(failures(&[encoding_of_sqlite(file, connection).await?]));
    Ok(problems)
}

/// The encoding of a SQLite file.
pub(in crate::store) async fn encoding_of_sqlite(file: &Path, connection: &mut SqliteConnection) -> Result<Finding> {
    const ID: &str = "database.encoding";
    let encoding = sqlx::raw_sql("pragma encoding").fetch_one(&mut *connection).await?;
    Ok(match &*column::<Sqlite, String>(&encoding, "encoding")? {
        "UTF-8" => Finding::ok(ID, "its encoding is UTF-8"),
        other => Finding::failure(ID, format!("{} stores text as {other}", file.display()), "start with a new file"),
    })
}

fn cannot_be_used(file: &Path, error: &sqlx::Error) -> String {
    let cause = error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned());
    format!(
        "{} cannot be written ({cause}): it must be a SQLite database or not exist yet; the service needs write permission on \
         it, on its -wal and -shm files and on its folder, on a file system that is neither read-only nor full",
        file.display()
    )
}

/// The texts of the findings that prevent the start.
fn failures(findings: &[Finding]) -> Vec<String> {
    findings.iter().filter(|finding| finding.status == Status::Failure).map(Finding::text).collect()
}

pub(super) fn fit(problems: Vec<String>) -> Result<()> {
    if problems.is_empty() { Ok(()) } else { Err(StoreError::Unfit(problems)) }
}
