//! Preconditions of a database: all problems are reported together, each with its remedy.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::process::Command;

use device_management::store::{DatabaseSettings, DatabaseUrl, StoreError, connect, migrate};

use crate::binary::{fail, run};
use crate::harness::pgbouncer::PgBouncer;
use crate::harness::{
    Engine, PostgresServer, Process, Program, Start, TestDatabase, can_start_servers_for, sql, unprivileged_user,
};

/// The problems that the service and the migrations report.
async fn problems(url: &str) -> Vec<String> {
    let settings = DatabaseSettings::new(DatabaseUrl::parse(url).unwrap());
    let migrated = problems_of(migrate(&settings).await);
    assert_eq!(
        migrated,
        problems_of(connect(&settings).await.map(drop)),
        "the service and the migrations report the same problems"
    );
    migrated
}

#[track_caller]
fn problems_of(outcome: Result<(), StoreError>) -> Vec<String> {
    match outcome {
        Err(StoreError::Unfit(problems)) => problems,
        outcome => panic!("expected an unfit database: {outcome:?}"),
    }
}

/// The error message of the binary, which exits with 1, for the service and for a command.
fn told(url: &str) -> String {
    let program = Program::new().with("DATABASE_URL", url);
    let (code, served) = fail(&program, &["serve"]);
    assert_eq!(code, 1, "{served}");
    assert!(!served.contains(" listening "), "{served}");
    for command in [&["migrate"][..], &["client", "list"]] {
        let (code, logs) = fail(&program, command);
        let (said, says) =
            (logs.split_once("cannot be used").unwrap().1, served.split_once("cannot be used").unwrap().1);
        assert_eq!((code, said), (1, says));
    }
    served
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_cannot_hold_every_name_is_refused() {
    if !can_start_servers_for("database::preconditions::a_database_that_cannot_hold_every_name_is_refused") {
        return;
    }
    let server = PostgresServer::start(&[]).unwrap();
    for encoding in ["LATIN1", "SQL_ASCII", "EUC_JP"] {
        let name = format!("in_{}", encoding.to_lowercase());
        let create =
            format!("create database {name} encoding '{encoding}' lc_collate 'C' lc_ctype 'C' template template0");
        sql::execute(&server.url("postgres"), &create).await;
        let url = server.url(&name);
        let problems = problems(&url).await;
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with(&format!("its encoding is {encoding}")), "{problems:?}");
        assert!(problems[0].contains("create database ... encoding 'UTF8' template template0"), "{problems:?}");
        assert!(told(&url).contains(&problems[0]));
        if PgBouncer::is_there_for("database::preconditions::a_database_that_cannot_hold_every_name_is_refused") {
            let pooler = PgBouncer::to(&url, "");
            let settings = DatabaseSettings {
                pooler: device_management::store::Pooler::Transaction,
                ..DatabaseSettings::new(DatabaseUrl::parse(pooler.url()).unwrap())
            };
            assert_eq!(problems_of(connect(&settings).await.map(drop)), problems);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_problems_of_a_database_are_reported_together() {
    if !can_start_servers_for("database::preconditions::all_problems_of_a_database_are_reported_together") {
        return;
    }
    let server = PostgresServer::start(&[]).unwrap();
    let admin = server.url("postgres");
    let wrong = "create database wrong encoding 'LATIN1' lc_collate 'C' lc_ctype 'C' template template0";
    sql::execute(&admin, wrong).await;
    sql::execute(&admin, "create role service login password 'word'").await;
    sql::execute(&server.url("wrong"), "revoke all on schema public from public").await;
    sql::execute(&admin, "alter role service set session_replication_role = replica").await;
    sql::execute(&admin, "alter database wrong set default_transaction_read_only = on").await;
    let (_, place) = admin.split_once('@').unwrap();
    let url = format!("postgres://service:word@{}", place.replace("/postgres", "/wrong"));
    let problems = problems(&url).await;
    let about =
        ["its encoding is LATIN1", "writes are forbidden", "`session_replication_role` is replica", "schema public"];
    assert_eq!(problems.len(), about.len(), "{problems:?}");
    let message = told(&url);
    for (problem, about) in problems.iter().zip(about) {
        assert!(problem.contains(about), "{problem}");
        assert!(message.contains(problem), "{message}");
    }
    assert!(!message.contains("word"), "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_is_refused_until_it_is_promoted() {
    if !can_start_servers_for("database::preconditions::a_standby_is_refused_until_it_is_promoted") {
        return;
    }
    let primary = PostgresServer::start(&[]).unwrap();
    let mut standby = primary.standby().unwrap();
    let url = standby.url("postgres");
    let problems = problems(&url).await;
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].starts_with("the server is a standby"), "{problems:?}");
    standby.promote().unwrap();
    migrate(&DatabaseSettings::new(DatabaseUrl::parse(&url).unwrap())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_fsync_or_full_page_writes_causes_a_warning() {
    if !Engine::Postgres
        .is_there_for("database::preconditions::a_server_without_fsync_or_full_page_writes_causes_a_warning")
        .await
    {
        return;
    }
    // The test servers run without them.
    let database = TestDatabase::start(Engine::Postgres).await;
    let service = Program::new().with("DATABASE_URL", database.url()).serve();
    let warnings: Vec<String> = service.logs().into_iter().filter(|line| line.contains("turn it on")).collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("fsync") && warnings[1].contains("full_page_writes"), "{warnings:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_not_a_sqlite_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("text.db");
    fs::write(&file, "not a database at all, and longer than the header of one, which has a hundred bytes".repeat(20))
        .unwrap();
    for place in
        [file.clone(), folder.path().to_owned(), folder.path().join("nowhere").join("new.db"), file.join("new.db")]
    {
        let url = format!("sqlite://{}", place.display());
        let problems = problems(&url).await;
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with(&format!("{} cannot be written", place.display())), "{problems:?}");
        assert!(told(&url).contains(&problems[0]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sqlite_file_in_another_encoding_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("wide.db").display());
    fs::write(folder.path().join("wide.db"), "").unwrap();
    sql::execute(&url, "pragma encoding = 'UTF-16le'; create table t (x text)").await;
    let problems = problems(&url).await;
    assert!(problems[0].contains("UTF-16le"), "{problems:?}");
}

/// The superuser may write to any file, so the binary runs as another user here.
#[test]
fn a_sqlite_file_or_folder_that_is_read_only_is_refused() {
    let program = Program::new().with("DATABASE_URL", "sqlite://data/kept.db");
    let data = program.folder().join("data");
    fs::create_dir(&data).unwrap();
    assert_eq!(run(&program, &["migrate"]).0, 0);
    let mode = |path: &std::path::Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let (uid, gid) = unprivileged_user().unwrap();
    let is_root = std::os::unix::fs::MetadataExt::uid(&fs::metadata(&data).unwrap()) == 0;
    if is_root {
        mode(program.folder(), 0o755);
        for path in [data.clone(), data.join("kept.db")] {
            chown(path, Some(uid), Some(gid)).unwrap();
        }
    }
    for (file, folder, is_fit) in
        [(0o444, 0o755, false), (0o444, 0o555, false), (0o644, 0o555, false), (0o644, 0o755, true)]
    {
        // A process that found the file read-only leaves empty companion files.
        for companion in ["-wal", "-shm"] {
            let _ = fs::remove_file(data.join(format!("kept.db{companion}")));
        }
        mode(&data.join("kept.db"), file);
        mode(&data, folder);
        let mut command: Command = program.command(&["client", "list"]);
        if is_root {
            command.uid(uid).gid(gid);
        }
        let process = Process::start(&mut command);
        let code = crate::binary::exit_code(&process);
        assert_eq!(code, i32::from(!is_fit), "{file:o} {folder:o}: {:?}", process.logs());
        if !is_fit {
            let logs = process.logs().join("\n");
            assert!(logs.contains("data/kept.db cannot be written"), "{logs}");
        }
    }
}
