//! A server that refuses the login: unavailable, with the cause in the log, until the operator has written the rotated
//! password to its file.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use serde_json::json;

use crate::binary::PATIENCE;
use crate::harness::{PostgresServer, Program, Service, TestClient, can_start_servers_for, sql};

/// A service with `DATABASE_URL_FILE`, on a database that its role owns.
struct Rotation {
    server: PostgresServer,
    program: Program,
    file: PathBuf,
}

impl Rotation {
    async fn start() -> Self {
        let logins = "host all all 127.0.0.1/32 scram-sha-256\n";
        let server = PostgresServer::start_with(&[], &[("pg_hba.conf", logins)]).unwrap();
        let admin = server.url("postgres");
        sql::execute(&admin, "create role service login password 'first-word'").await;
        sql::execute(&admin, "create database devices owner service").await;
        let program = Program::new();
        let file = program.folder().join("database-url");
        let rotation = Self { server, program, file };
        rotation.write(&rotation.url("first-word"));
        rotation
    }

    fn serve(&self) -> Service {
        let file = self.file.display().to_string();
        self.program.clone().with("DATABASE_URL_FILE", &file).with("DATABASE_MAX_CONNECTIONS", "2").serve()
    }

    fn url(&self, password: &str) -> String {
        let admin = self.server.url("devices");
        format!("postgres://service:{password}@{}", admin.split_once('@').unwrap().1)
    }

    fn write(&self, text: &str) {
        fs::write(&self.file, format!("{text}\n")).unwrap();
    }

    async fn order(&self, statement: &str) {
        sql::execute(&self.server.url("postgres"), statement).await;
    }
}

/// Ends the service's sessions, so that it must reconnect.
const CUT: &str = "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'service'";

/// Every kind of request is answered 503 with `Retry-After`, and the service is not ready.
async fn assert_unavailable(client: &TestClient) {
    // Readiness is cached for a second.
    let deadline = Instant::now() + PATIENCE;
    while client.get("/readyz").await.status == 200 {
        assert!(Instant::now() < deadline, "the service is still ready without a database");
    }
    let device = json!({"number": "+4915112345678", "verified": true});
    let mut refused = [
        client.get("/readyz").await,
        client.get("/v1/mfa/devices").await,
        client.get("/v1/persons/ada/mobile_number").await,
        client.post("/v1/persons/bob/mobile_number", device).await,
    ];
    for answer in &mut refused {
        assert!(answer.assert_status(503).headers.contains_key("retry-after"));
    }
}

/// Broken connections are detected one by one, and readiness is cached for a second.
async fn assert_served_again(client: &TestClient) {
    let deadline = Instant::now() + PATIENCE;
    while client.get("/readyz").await.status != 200 || client.get("/v1/mfa/devices").await.status != 200 {
        assert!(Instant::now() < deadline, "not served again in time");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_is_rotated_without_a_restart() {
    if !can_start_servers_for("database::login::a_password_is_rotated_without_a_restart") {
        return;
    }
    let rotation = Rotation::start().await;
    let service = rotation.serve();
    let client = service.sandbox_client().await;
    client.verified_person("ada").await;

    // Open connections still work.
    rotation.order("alter role service password 'second-word'").await;
    client.get("/v1/persons/ada/mobile_number").await.assert_status(200);

    // New ones are refused while the file has the old password, no URL, or the URL of another database.
    let elsewhere = rotation.url("second-word").replace("/devices", "/postgres");
    for wrong in
        [rotation.url("first-word"), String::new(), "postgres://[".to_owned(), elsewhere, "sqlite://x".to_owned()]
    {
        rotation.write(&wrong);
        rotation.order(CUT).await;
        client.get("/v1/mfa/devices").await;
        client.get("/v1/mfa/devices").await;
        assert_unavailable(&client).await;
    }
    fs::remove_file(&rotation.file).unwrap();
    assert_unavailable(&client).await;
    fs::create_dir(&rotation.file).unwrap();
    assert_unavailable(&client).await;
    fs::remove_dir(&rotation.file).unwrap();
    client.get("/healthz").await.assert_status(200);

    rotation.write(&rotation.url("second-word"));
    assert_served_again(&client).await;
    client.get("/v1/persons/ada/mobile_number").await.assert_status(200);

    // Writing the file before the password is changed works, too.
    rotation.write(&rotation.url("third-word"));
    rotation.order("alter role service password 'third-word'").await;
    rotation.order(CUT).await;
    client.get("/v1/mfa/devices").await;
    client.get("/v1/mfa/devices").await;
    assert_served_again(&client).await;

    service.terminate();
    service.wait(PATIENCE);
    let logs = service.logs().join("\n");
    assert!(logs.contains("password authentication failed"), "{logs}");
    assert!(!logs.contains("migrations are missing"), "{logs}");
    for problem in
        ["holds no postgres:// URL", "names another server, database or encryption", "cannot be read", "works"]
    {
        assert!(logs.contains(problem), "{problem}: {logs}");
    }
    for secret in ["first-word", "second-word", "third-word", "postgres://s", "postgres://["] {
        assert!(!logs.contains(secret), "{secret}: {logs}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cause_of_a_refused_login_is_logged() {
    if !can_start_servers_for("database::login::the_cause_of_a_refused_login_is_logged") {
        return;
    }
    let rotation = Rotation::start().await;
    let service = rotation.serve();
    let client = service.sandbox_client().await;
    let locked = "alter role service nologin";
    let open = "alter role service login";
    // The server's message for each: a locked role; a role or database at its connection limit; a database that accepts
    // no connections, denies this role, or does not exist.
    for (refuse, allow, words) in [
        (&[locked][..], open, "is not permitted to log in"),
        (
            &["alter role service connection limit 0"],
            "alter role service connection limit -1",
            "too many connections for role",
        ),
        (
            &["alter database devices connection limit 0"],
            "alter database devices connection limit -1",
            "too many connections for database",
        ),
        (
            &["alter database devices allow_connections off"],
            "alter database devices allow_connections on",
            "not currently accepting connections",
        ),
        (
            &["alter database devices owner to postgres", "revoke connect on database devices from public"],
            "alter database devices owner to service",
            "permission denied for database",
        ),
        (
            &[locked, CUT, "alter database devices rename to gone", open],
            "alter database gone rename to devices",
            "does not exist",
        ),
    ] {
        for statement in refuse {
            rotation.order(statement).await;
        }
        rotation.order(CUT).await;
        client.get("/v1/mfa/devices").await;
        client.get("/v1/mfa/devices").await;
        assert_unavailable(&client).await;
        service.wait_for_log(words, PATIENCE);
        rotation.order(allow).await;
        assert_served_again(&client).await;
    }
    let logs = service.logs().join("\n");
    assert!(!logs.contains("migrations are missing"), "{logs}");
}
