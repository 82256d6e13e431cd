//! Checks of a SQLite file, which is opened read-only.

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Access, access, statvfs};
use rustix::process::{Flock, FlockType, fcntl_getlk};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqlSafeStr, Sqlite, SqliteConnection};
use tokio::time::{Instant, sleep};

use super::{DATA_CHECKS, Inspection, Session, data, described};
use crate::finding::{Finding, skip_missing};
use crate::store::connect::preconditions::encoding_of_sqlite;
use crate::store::error::is_busy;

/// The ids of all checks of this file.
pub(super) const CHECKS: [&str; 6] = [
    "database.file",
    "database.permissions",
    "database.disk",
    "database.lock",
    "database.journal",
    "database.encoding",
];

/// How long a look waits for another process that has locked the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

/// The pause between two looks at a lock.
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// The bytes that a writer locks, as offset and length: in the file itself without a write-ahead log
/// (<https://sqlite.org/fileformat2.html#the_lock_byte_page>), in -shm with one (<https://sqlite.org/walformat.html>, "WAL
/// Locks").
const FILE_LOCKS: (u64, u64) = (1 << 30, 512);
const WRITE_LOCK: (u64, u64) = (120, 1);

/// Free space of the file system: below it the file cannot grow for long.
const FREE_LOW: u64 = 1 << 30;
const FREE_NONE: u64 = 64 << 20;

pub(super) async fn inspect(inspection: &Inspection, file: &Path) -> Vec<Finding> {
    let mut findings = vec![existence(file, inspection.migrates_on_start), permissions(file), free_space(file)];
    let reason = if file.is_file() { look(inspection, file, &mut findings).await } else { "there is no file" };
    skip_missing(&mut findings, &CHECKS, reason);
    skip_missing(&mut findings, &DATA_CHECKS, reason);
    findings
}

fn existence(file: &Path, is_created: bool) -> Finding {
    const ID: &str = "database.file";
    let name = file.display();
    match fs::metadata(file) {
        Ok(metadata) if metadata.is_file() => Finding::ok(ID, format!("{name} has {} KiB", metadata.len() / 1024)),
        Ok(_) => Finding::failure(ID, format!("{name} is not a file"), "correct DATABASE_URL"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && is_created => Finding::warning(
            ID,
            format!("{name} does not exist"),
            "`serve` creates it; if it should exist, correct DATABASE_URL",
        ),
        Err(error) => {
            Finding::failure(ID, format!("{name}: {error}"), "correct DATABASE_URL, or run `device-management migrate`")
        }
    }
}

fn folder_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if folder.as_os_str().is_empty() => PathBuf::from("."),
        Some(folder) => folder.to_owned(),
        None => PathBuf::from("/"),
    }
}

fn companion(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn permissions(file: &Path) -> Finding {
    const ID: &str = "database.permissions";
    let places = [file.to_owned(), companion(file, "-wal"), companion(file, "-shm"), folder_of(file)];
    let refused: Vec<String> = places
        .iter()
        .filter(|place| place.exists() && access(place.as_path(), Access::READ_OK | Access::WRITE_OK).is_err())
        .map(|place| place.display().to_string())
        .collect();
    if !refused.is_empty() {
        let found = format!("this user may not write {}", refused.join(", "));
        return Finding::failure(
            ID,
            found,
            "give the user that runs the service write permission on the file and its folder",
        );
    }
    match fs::metadata(file).map(|metadata| metadata.mode() & 0o777) {
        Ok(mode) if mode & 0o002 != 0 => {
            Finding::warning(ID, format!("every user may write the file (mode {mode:o})"), "run `chmod 600` on it")
        }
        Ok(mode) => Finding::ok(ID, format!("this user may write the file and its folder (mode {mode:o})")),
        Err(_) => Finding::ok(ID, "this user may write the folder"),
    }
}

fn free_space(file: &Path) -> Finding {
    const ID: &str = "database.disk";
    const REMEDY: &str = "free space, or move the file to a larger file system";
    let system = match statvfs(folder_of(file)) {
        Ok(system) => system,
        Err(error) => return Finding::skipped(ID, format!("the file system cannot be read: {error}")),
    };
    let free = system.f_bavail.saturating_mul(system.f_frsize);
    let found = format!("{} MiB are free", free >> 20);
    match free {
        free if free < FREE_NONE => Finding::failure(ID, found, REMEDY),
        free if free < FREE_LOW => Finding::warning(ID, found, REMEDY),
        _ => Finding::ok(ID, found),
    }
}

/// Returns the reason for the checks that did not run.
async fn look(inspection: &Inspection, file: &Path, findings: &mut Vec<Finding>) -> &'static str {
    let locked = |found: &str| Finding::failure("database.lock", found, "end that process; SQLite supports one");
    // Before the connection: closing a file gives up all locks of this process on it.
    let (journal, writer) = (journal(file), stuck_writer(file).await);
    let mut connection = match open(file).await {
        Ok(connection) => connection,
        Err(error) if error.as_database_error().is_some_and(is_busy) => {
            findings.push(locked("another process has locked the file"));
            return "the file is locked";
        }
        Err(error) => {
            let remedy = "it must be a SQLite database: restore it from a backup, or correct DATABASE_URL";
            let file = Finding::failure("database.file", format!("{}: {}", file.display(), described(&error)), remedy);
            findings.retain(|finding| finding.id != file.id);
            findings.push(file);
            return "the file cannot be opened";
        }
    };
    findings.push(match writer {
        Some(process) => locked(&format!("{process} has held the write lock for {} s", BUSY_TIMEOUT.as_secs())),
        None => Finding::ok("database.lock", "no other process excludes readers or writers"),
    });
    findings.push(journal);
    findings.extend(encoding_of_sqlite(file, &mut connection).await);
    let limit = inspection.settings.statement_timeout;
    let mut session = Session::<Sqlite>::new(connection, "begin".into_sql_str(), limit);
    findings.extend(data::check(&mut session, inspection).await);
    session.close().await;
    "the file could not be read"
}

/// The process that holds a write lock at every look for [`BUSY_TIMEOUT`]. A service under load releases it in between.
async fn stuck_writer(file: &Path) -> Option<String> {
    let end = Instant::now() + BUSY_TIMEOUT;
    let mut writer = writer(file)?;
    while Instant::now() < end {
        sleep(LOCK_PAUSE).await;
        writer = self::writer(file)?;
    }
    Some(writer)
}

/// The process that holds a write lock, by `F_GETLK`, which takes no lock. With SQLite the only way is to take the lock on
/// a connection that may write.
fn writer(file: &Path) -> Option<String> {
    let places = [(file.to_owned(), FILE_LOCKS), (companion(file, "-shm"), WRITE_LOCK)];
    places.into_iter().find_map(|(place, (start, length))| {
        let place = fs::File::open(place).ok()?;
        let held = fcntl_getlk(&place, &Flock { start, length, ..FlockType::ReadLock.into() }).ok()??;
        // Processes of other containers have no id here.
        Some(held.pid.map_or_else(|| "another process".to_owned(), |id| format!("process {}", id.as_raw_nonzero())))
    })
}

/// By the header of the file (<https://sqlite.org/fileformat2.html#file_format_version_numbers>): the pragma tells nothing
/// about a file that is opened as immutable.
fn journal(file: &Path) -> Finding {
    const ID: &str = "database.journal";
    let mut header = [0; 19];
    match fs::File::open(file).and_then(|mut file| file.read_exact(&mut header)) {
        Ok(()) if header[18] == 2 => Finding::ok(ID, "the file has a write-ahead log"),
        Ok(()) => Finding::skipped(ID, "the file has no write-ahead log yet: the service makes it one"),
        Err(error) => Finding::skipped(ID, format!("the header of the file cannot be read: {error}")),
    }
}

/// Opens the file and reads a page of it.
///
/// Without a -wal file no process has the database open. Then SQLite would create that file and -shm, as the user of this
/// command, and perhaps out of reach of the service; `immutable` prevents it.
async fn open(file: &Path) -> sqlx::Result<SqliteConnection> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .read_only(true)
        .immutable(!companion(file, "-wal").exists())
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging();
    let mut connection = options.connect().await?;
    sqlx::raw_sql("select count(*) from sqlite_master").fetch_one(&mut connection).await?;
    Ok(connection)
}
