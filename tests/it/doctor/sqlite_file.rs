//! Faults of a SQLite file, which is not changed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;

use super::Report;
use crate::binary::run;
use crate::harness::{Process, Program, unprivileged_user};

/// A migrated database in a folder without other files.
fn migrated() -> (Program, PathBuf) {
    let program = Program::new().with("DATABASE_URL", "sqlite://data/kept.db").with("MIGRATE_ON_START", "false");
    let data = program.folder().join("data");
    fs::create_dir(&data).unwrap();
    assert_eq!(run(&program, &["migrate"]).0, 0);
    (program, data)
}

async fn connect(data: &Path) -> SqliteConnection {
    SqliteConnection::connect(&format!("sqlite://{}", data.join("kept.db").display())).await.unwrap()
}

async fn execute(connection: &mut SqliteConnection, statements: &'static str) {
    sqlx::raw_sql(statements).execute(connection).await.unwrap();
}

/// The files of a folder with their content. SQLite uses -shm as memory in which readers announce themselves, so that only
/// its name counts.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let content = if name.ends_with("-shm") { Vec::new() } else { fs::read(&path).unwrap() };
            (name, content)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sqlite_file_and_its_companions_are_not_changed() {
    let (program, data) = migrated();
    let assert_unchanged = |state: &str, names: &[&str]| {
        let before = files(&data);
        assert_eq!(before.keys().collect::<Vec<_>>(), names, "{state}");
        let report = Report::of(&program);
        assert_eq!((report.code, report.status("database.migrations")), (0, "ok"), "{state}");
        assert!(files(&data) == before, "doctor changed a file: {state}");
    };
    assert_unchanged("a stopped service", &["kept.db"]);
    let mut connection = connect(&data).await;
    execute(&mut connection, "insert into housekeeping_lease values ('x', x'00', '2020-01-01')").await;
    assert_unchanged("a running service", &["kept.db", "kept.db-shm", "kept.db-wal"]);
    // The files of a process that was killed: no process has them open.
    let kept = files(&data);
    connection.close().await.unwrap();
    for (name, content) in kept.iter().filter(|(name, _)| !name.ends_with("-shm")) {
        fs::write(data.join(name), content).unwrap();
    }
    fs::write(data.join("kept.db-shm"), vec![0; 32768]).unwrap();
    assert_unchanged("a killed service", &["kept.db", "kept.db-shm", "kept.db-wal"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_lock_that_is_not_released_is_a_failure() {
    let (program, data) = migrated();
    let mut connection = connect(&data).await;
    assert_eq!(Report::of(&program).status("database.lock"), "ok");
    execute(&mut connection, "begin immediate").await;
    let report = Report::of(&program);
    let found = format!("process {} has held the write lock for 1 s", std::process::id());
    report.assert("database.lock", "failure", &found);
    assert_eq!(report.with_status("failure"), ["database.lock"], "readers still have access");
    execute(&mut connection, "rollback").await;
    assert_eq!(Report::of(&program).status("database.lock"), "ok");

    // With no -wal file, as a backup tool that uses the old journal.
    execute(&mut connection, "pragma journal_mode = delete").await;
    execute(&mut connection, "begin exclusive").await;
    Report::of(&program).assert("database.lock", "failure", &found);
    execute(&mut connection, "rollback; pragma journal_mode = wal").await;

    execute(&mut connection, "pragma locking_mode = exclusive; begin exclusive").await;
    let report = Report::of(&program);
    assert_eq!((report.code, report.status("database.lock")), (1, "failure"), "{:#}", report.json);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sqlite_file_with_another_encoding_is_a_failure() {
    let program = Program::new().with("DATABASE_URL", "sqlite://data/kept.db");
    let data = program.folder().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("kept.db"), "").unwrap();
    let mut connection = connect(&data).await;
    execute(&mut connection, "pragma encoding = 'UTF-16le'; create table probe (x)").await;
    connection.close().await.unwrap();
    Report::of(&program).assert("database.encoding", "failure", "UTF-16le");
}

#[test]
fn a_sqlite_file_or_folder_that_the_user_cannot_write_is_a_failure() {
    let (program, data) = migrated();
    let file = data.join("kept.db");
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let (uid, gid) = unprivileged_user().unwrap();
    let is_root = fs::metadata(&data).unwrap().uid() == 0;
    if is_root {
        mode(program.folder(), 0o755);
        for path in [&data, &file] {
            chown(path, Some(uid), Some(gid)).unwrap();
        }
    }
    let unwritable = "this user may not write";
    for (file_mode, folder_mode, status, found) in [
        (0o444, 0o755, "failure", format!("{unwritable} data/kept.db")),
        (0o600, 0o555, "failure", format!("{unwritable} data")),
        (0o444, 0o555, "failure", format!("{unwritable} data/kept.db, data")),
        (0o646, 0o755, "warning", "every user may write the file (mode 646)".to_owned()),
        (0o600, 0o755, "ok", "mode 600".to_owned()),
    ] {
        mode(&file, file_mode);
        mode(&data, folder_mode);
        let mut command = program.command(&["doctor", "--format", "json"]);
        if is_root {
            command.uid(uid).gid(gid);
        }
        let report = Report::from_process(&Process::start(&mut command));
        report.assert("database.permissions", status, &found);
        assert_eq!(report.code, i32::from(status == "failure"), "{file_mode:o} {folder_mode:o}");
        assert_eq!(report.status("database.migrations"), "ok", "a file that can be read is checked");
    }
}
