//! Postgres on a Unix socket: with a password, and with peer authentication.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::Command;

use serde_json::json;

use super::tls::{assert_reached, assert_told};
use crate::binary::{exit_code, production_on, run};
use crate::grants::{OWNER, SERVICE, grants, roles};
use crate::harness::{
    NUMBER, PostgresServer, Process, Program, TestDatabase, can_start_servers_for, sql, unprivileged_user,
};

const LOGINS: &str = "
    host all postgres 127.0.0.1/32 scram-sha-256
    local all by_scram scram-sha-256
    local all device_management_owner,device_management peer map=service
";

/// A user of the operating system, and the name of a user or group.
fn id(arguments: &[&str]) -> String {
    let done = Command::new("id").args(arguments).output().unwrap();
    assert!(done.status.success(), "id {arguments:?}");
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_runs_on_a_socket_with_peer_authentication() {
    if !can_start_servers_for("database::sockets::the_service_runs_on_a_socket_with_peer_authentication") {
        return;
    }
    // As root, the server and the service run as the same unprivileged user.
    let program = Program::new();
    let is_root = fs::metadata(program.folder()).unwrap().uid() == 0;
    let as_user = |command: &mut Command| {
        if is_root {
            let (uid, gid) = unprivileged_user().unwrap();
            command.uid(uid).gid(gid);
        }
    };
    let user = if is_root { id(&["-nu", &unprivileged_user().unwrap().0.to_string()]) } else { id(&["-nu"]) };
    let map = [OWNER, SERVICE].map(|role| format!("service {user} {role}\n")).concat();
    let files = [("pg_hba.conf", LOGINS), ("pg_ident.conf", &*map)];
    let server = PostgresServer::start_with(&[("unix_socket_directories", ".")], &files).unwrap();
    let admin = server.url("postgres");
    sql::execute(&admin, "create role by_scram login password 'a-word'").await;
    for statement in roles("null").lines() {
        sql::execute(&admin, statement).await;
    }
    let folder = server.socket_folder().display().to_string().replace('/', "%2F");
    let port = reqwest::Url::parse(&admin).unwrap().port().unwrap();
    let url = |login: &str, database: &str| format!("postgres://{login}@{folder}/{database}?port={port}");

    assert_reached(&url("by_scram:a-word", "postgres"));
    assert_told(&url("by_scram:another", "postgres"), &["password authentication failed"]);
    if is_root {
        assert_told(&url(SERVICE, "device_management"), &["Peer authentication failed"]);
    }

    let started_by = |program: &Program, arguments: &[&str]| {
        fs::set_permissions(program.folder(), fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = program.command(arguments);
        as_user(&mut command);
        command
    };
    let owner = program.with("DATABASE_URL", &url(OWNER, "device_management"));
    assert_eq!(exit_code(&Process::start(&mut started_by(&owner, &["migrate"]))), 0);
    sql::execute(&server.url("device_management"), grants()).await;
    let program = production_on(&TestDatabase::Own { url: url(SERVICE, "device_management") });
    let program = program.with("MIGRATE_ON_START", "false");
    let service = program.serve_by(&mut started_by(&program, &["serve"]));
    let create = ["client", "create", "--partner", "acme", "--permission", "numbers:assert"];
    let created = Process::start(&mut started_by(&program, &create));
    assert_eq!(exit_code(&created), 0);
    let credentials: Vec<String> =
        created.output().iter().map(|line| line.split_once('=').unwrap().1.to_owned()).collect();
    let client = service.client(&credentials[0], &credentials[1]).await;
    let number = json!({"number": NUMBER, "verified": true});
    client.post("/v1/persons/ada/mobile_number", number).await.assert_status(201);
    assert_eq!(run(&program, &["config", "check"]).0, 0);
}
