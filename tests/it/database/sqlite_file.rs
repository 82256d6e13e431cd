//! A SQLite file that becomes unusable while the service runs: 503 and not ready until the operator has repaired it,
//! and never an empty database in its place.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use chrono::TimeDelta;
use serde_json::json;

use crate::binary::run;
use crate::harness::{Engine, Program, Service, Start, TestApp, TestClient, unprivileged_user};

fn file_of(app: &TestApp) -> PathBuf {
    app.database.url().trim_start_matches("sqlite://").into()
}

/// Renames the file and its companions.
fn move_all(from: &Path, to: &Path) {
    for companion in ["", "-wal", "-shm"] {
        let of = |path: &Path| PathBuf::from(format!("{}{companion}", path.display()));
        if of(from).exists() {
            fs::rename(of(from), of(to)).unwrap();
        }
    }
}

async fn assert_unavailable(app: &TestApp, client: &TestClient) {
    // Readiness is cached for a second.
    app.advance(TimeDelta::seconds(1));
    let number = json!({"number": "+4915112345678", "verified": true});
    for answer in [
        client.get("/readyz").await,
        client.get("/v1/persons/ada/mobile_number").await,
        client.post("/v1/persons/bob/mobile_number", number).await,
    ] {
        assert!(answer.assert_status(503).headers.contains_key("retry-after"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_moved_sqlite_file_is_unavailable_until_it_is_moved_back() {
    let app = TestApp::start(Engine::Sqlite).await;
    let (file, acme) = (file_of(&app), app.partner());
    let away = file.with_extension("away");
    acme.verified_person("ada").await;
    for _ in 0..2 {
        move_all(&file, &away);
        assert_unavailable(&app, &acme).await;
        assert!(!file.exists(), "the service must not create an empty database in its place");
        move_all(&away, &file);
        acme.get("/v1/persons/ada/mobile_number").await.assert_status(200);
    }
    acme.verified_person("bob").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replaced_sqlite_file_is_unavailable_until_the_database_is_restored() {
    let app = TestApp::start(Engine::Sqlite).await;
    let (file, acme) = (file_of(&app), app.partner());
    let (backup, garbage) =
        (file.with_extension("backup"), "no database, but longer than a header of one hundred bytes ".repeat(50));
    acme.verified_person("ada").await;
    move_all(&file, &backup);
    fs::write(&file, garbage).unwrap();
    assert_unavailable(&app, &acme).await;
    // Another database, as when a backup is restored.
    fs::remove_file(&file).unwrap();
    move_all(&backup, &file);
    acme.get("/v1/persons/ada/mobile_number").await.assert_status(200);
    acme.verified_person("bob").await;
    app.advance(TimeDelta::seconds(1));
    acme.get("/readyz").await.assert_status(200);
}

/// The binary as a user without superuser rights, on a migrated database, with a shell line before it.
fn serve_bound_by_rights(program: &Program, before: &str) -> Service {
    assert_eq!(run(program, &["migrate"]).0, 0);
    let data = program.folder().join("data");
    let mut command = Command::new("sh");
    let executable = program.command(&[]);
    command.arg("-c").arg(format!("{before} exec \"$0\"")).arg(executable.get_program());
    command.env_clear().current_dir(program.folder());
    command.envs(executable.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if fs::metadata(&data).unwrap().uid() == 0 {
        let (uid, gid) = unprivileged_user().unwrap();
        fs::set_permissions(program.folder(), fs::Permissions::from_mode(0o755)).unwrap();
        let files = fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().path());
        for path in files.chain([data.clone()]) {
            chown(path, Some(uid), Some(gid)).unwrap();
        }
        command.uid(uid).gid(gid);
    }
    program.serve_by(&mut command)
}

fn program() -> Program {
    let program = Program::new().with("DATABASE_URL", "sqlite://data/kept.db");
    fs::create_dir(program.folder().join("data")).unwrap();
    program
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sqlite_file_that_becomes_read_only_makes_the_service_unavailable() {
    let program = program();
    let service = serve_bound_by_rights(&program, "");
    let client = service.sandbox_client().await;
    client.verified_person("ada").await;
    let file = program.folder().join("data/kept.db");
    let copy = file.with_extension("copy");
    // Open file handles stay writable; a replaced file is reopened.
    let swap = |mode: u32| {
        let owner = fs::metadata(&file).unwrap();
        for companion in ["-wal", "-shm"] {
            let from = PathBuf::from(format!("{}{companion}", file.display()));
            let to = PathBuf::from(format!("{}{companion}", copy.display()));
            if from.exists() {
                fs::copy(&from, &to).unwrap();
                fs::set_permissions(&to, fs::Permissions::from_mode(mode)).unwrap();
                chown(&to, Some(owner.uid()), Some(owner.gid())).unwrap();
            }
        }
        fs::copy(&file, &copy).unwrap();
        fs::set_permissions(&copy, fs::Permissions::from_mode(mode)).unwrap();
        chown(&copy, Some(owner.uid()), Some(owner.gid())).unwrap();
        move_all(&copy, &file);
    };
    swap(0o444);
    let number = json!({"number": "+4915112345678", "verified": true});
    for answer in [client.get("/readyz").await, client.post("/v1/persons/bob/mobile_number", number.clone()).await] {
        assert!(answer.assert_status(503).headers.contains_key("retry-after"));
    }
    client.get("/healthz").await.assert_status(200);
    swap(0o644);
    client.post("/v1/persons/bob/mobile_number", number).await.assert_status(201);
}

/// A file size limit looks like a failing disk to SQLite: `SQLITE_IOERR`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_disk_makes_the_service_unavailable() {
    let program = program();
    // In units of 512 bytes: more than the tables need, and exhausted by a few writes.
    let service = serve_bound_by_rights(&program, "trap '' XFSZ; ulimit -f 1200;");
    let client = service.sandbox_client().await;
    let mut answers = 0;
    let refused = loop {
        let number = json!({"number": "+4915112345678", "verified": true});
        let answer = client.post(&format!("/v1/persons/person-{answers}/mobile_number"), number).await;
        if answer.status != 201 {
            break answer;
        }
        answers += 1;
        assert!(answers < 5000, "the size limit has no effect");
    };
    assert!(refused.assert_status(503).headers.contains_key("retry-after"));
    assert!(answers > 0);
    // Every answered write is durable.
    client.get(&format!("/v1/persons/person-{}/mobile_number", answers - 1)).await.assert_status(200);
}
