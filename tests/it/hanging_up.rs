//! Clients that disconnect during a request: its work runs to its end, and no database connection is lost.
//!
//! Every table that requests use is locked, so that each request waits in Postgres when its client disconnects. The
//! driver closes a connection whose statement is cancelled, so the tests count the backend processes of Postgres.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use chrono::TimeDelta;
use reqwest::Client;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::binary::sandbox_on;
use crate::contract::calls::Scene;
use crate::harness::contract::{CONTRACT, Operation};
use crate::harness::{Engine, Start, TestApp, TestClient, TestDatabase};

/// The size of the executable's connection pool.
const MAX: usize = 3;
const PATIENCE: Duration = Duration::from_secs(30);

/// All tables, except those that background tasks use.
const LOCKED: &str = "select quote_ident(table_name) from information_schema.tables where table_schema = 'public'
                      and table_name !~ '^(audit|sms_conversion|housekeeping)'";

/// Table locks that block all requests while they are held.
struct Barrier(PgConnection);

impl Barrier {
    async fn close(url: &str) -> Self {
        let mut connection = PgConnection::connect(url).await.unwrap();
        let tables: Vec<String> = sqlx::query_scalar(LOCKED).fetch_all(&mut connection).await.unwrap();
        let lock = format!("begin; lock table {} in access exclusive mode", tables.join(", "));
        sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut connection).await.unwrap();
        Self(connection)
    }

    /// Waits until a statement waits for a lock (true), or until the request is answered without one (false).
    async fn holds_up<T>(&mut self, request: &JoinHandle<T>) -> bool {
        let waiting =
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        let wait = async {
            loop {
                let waiting: i64 = sqlx::query_scalar(waiting).fetch_one(&mut self.0).await.unwrap();
                if waiting > 0 || request.is_finished() {
                    return waiting > 0;
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, wait).await.expect("the request waits in the database or ends")
    }

    async fn open(mut self) {
        sqlx::raw_sql("rollback").execute(&mut self.0).await.unwrap();
    }
}

/// The backend processes of the service's connections.
async fn backends(url: &str) -> BTreeSet<i32> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let others = "select pid from pg_stat_activity
                   where datname = current_database() and pid <> pg_backend_pid() and application_name = 'device-management'";
    sqlx::query_scalar(others).fetch_all(&mut connection).await.unwrap().into_iter().collect()
}

fn form() -> &'static str {
    "grant_type=client_credentials&client_id=01a2143a-0000-7000-8000-000000000000&client_secret=unknown"
}

/// A request for each operation of `openapi.yaml`: with the partner's token if the operation needs one.
async fn every_request(app: &TestApp) -> Vec<(String, Request<Body>)> {
    let scene = Scene::set(app, &app.partner()).await;
    let calls = scene.calls();
    let request = |operation: &Operation| {
        let builder = Request::builder().method(&*operation.method);
        if let Some(call) = calls.iter().find(|call| call.operation == operation.id) {
            let builder = builder.uri(&call.path);
            return match &call.body {
                Some(body) => builder.header("content-type", "application/json").body(Body::from(body.to_string())),
                None => builder.body(Body::empty()),
            };
        }
        let builder = builder.uri(operation.path.replace("{file}", "swagger-ui.css"));
        match &*operation.path {
            "/oauth2/token" => builder.body(Body::from(form())),
            "/oauth/token" => {
                let members: Vec<_> = form_urlencoded::parse(form().as_bytes()).collect();
                let json: serde_json::Map<_, _> =
                    members.iter().map(|(name, value)| (name.to_string(), value.as_ref().into())).collect();
                builder.body(Body::from(serde_json::Value::Object(json).to_string()))
            }
            path => {
                assert_eq!(operation.method, "GET", "add a request for {path}");
                builder.body(Body::empty())
            }
        }
    };
    CONTRACT.operations().iter().map(|operation| (operation.id.clone(), request(operation).unwrap())).collect()
}

/// Waits until no request is running.
async fn is_idle(app: &TestApp) {
    let idle = async {
        while !app.app.running.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, idle).await.expect("all requests end within PATIENCE");
}

/// The service with a single connection, which is already open.
async fn with_one_connection(test: &str, settings: &[(&str, &str)]) -> Option<TestApp> {
    if !Engine::Postgres.is_there_for(test).await {
        return None;
    }
    let settings = [&[("DATABASE_MAX_CONNECTIONS", "1")], settings].concat();
    Some(TestApp::with(Engine::Postgres, &settings).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disconnected_client_costs_no_database_connection() {
    let Some(app) = with_one_connection("hanging_up", &[]).await else { return };
    let requests = every_request(&app).await;
    let before = backends(app.database.url()).await;
    assert_eq!(before.len(), 1);
    let mut held_up = Vec::new();
    for (operation, request) in requests {
        // The cached result of the readiness check expires.
        app.advance(TimeDelta::seconds(2));
        let mut barrier = Barrier::close(app.database.url()).await;
        let client = app.partner();
        let asked = tokio::spawn(async move { client.request(request).await });
        if barrier.holds_up(&asked).await {
            held_up.push(operation.clone());
        }
        asked.abort();
        let _ = asked.await;
        barrier.open().await;
        is_idle(&app).await;
        app.partner().get("/v1/mfa/devices").await.assert_status(200);
        assert_eq!(backends(app.database.url()).await, before, "{operation} cost a connection");
    }
    // The other operations do not use the database.
    let pages = ["getOpenApiDocument", "getDocs", "getDocsFile", "getPhonePage", "getPhonePageFile"];
    let idle = [&pages[..], &["getHealth", "listSandboxMessages", "getSandboxClock"]].concat();
    assert_eq!(held_up.len() + idle.len(), CONTRACT.operations().len(), "{held_up:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timed_out_read_costs_no_database_connection() {
    let Some(app) = with_one_connection("hanging_up", &[("REQUEST_DEADLINE_SECONDS", "1")]).await else { return };
    let acme = app.partner();
    acme.get("/v1/mfa/devices").await.assert_status(200);
    let before = backends(app.database.url()).await;
    let barrier = Barrier::close(app.database.url()).await;
    acme.get("/v1/mfa/devices").await.assert_status(503);
    barrier.open().await;
    is_idle(&app).await;
    acme.get("/v1/mfa/devices").await.assert_status(200);
    assert_eq!(backends(app.database.url()).await, before);
}

/// The number of HTTP connections: one for each client here, and perhaps one that is being closed.
fn connections(metrics: &str) -> u32 {
    let count = metrics.lines().find_map(|line| line.strip_prefix("http_connections "));
    count.and_then(|count| count.parse().ok()).expect("the metric is a number")
}

/// Sends a request to the executable, and disconnects when it waits in the database.
async fn hang_up(http: &Client, url: &str, token: &str, path: &str, barrier: &mut Barrier) {
    let request = match path {
        "/oauth2/token" => http.post(format!("{url}{path}")).body(form()),
        _ => http.get(format!("{url}{path}")).bearer_auth(token),
    };
    let asked = tokio::spawn(request.send());
    assert!(barrier.holds_up(&asked).await, "{path} waits in the database");
    asked.abort();
    let _ = asked.await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closed_connections_and_reset_streams_cost_no_database_connection() {
    if !Engine::Postgres.is_there_for("hanging_up").await {
        return;
    }
    let database = TestDatabase::start(Engine::Postgres).await;
    let service = sandbox_on(&database).with("DATABASE_MAX_CONNECTIONS", &MAX.to_string()).serve();
    let client: TestClient = service.sandbox_client().await;
    let token = client.token().unwrap();
    let (one, two) = (Client::builder().no_proxy().http1_only(), Client::builder().no_proxy().http2_prior_knowledge());
    let mut seen = BTreeSet::new();
    for http in [one.build().unwrap(), two.build().unwrap()] {
        for path in ["/v1/mfa/devices", "/v1/persons/ada/mobile_number", "/oauth2/token", "/readyz"].repeat(3) {
            // The readiness check is cached for a second.
            sleep(Duration::from_millis(if path == "/readyz" { 1100 } else { 0 })).await;
            let mut barrier = Barrier::close(database.url()).await;
            hang_up(&http, &service.base_url(), token, path, &mut barrier).await;
            // On HTTP/2 this request follows the reset; on HTTP/1 the metric shows when the connection is closed.
            http.get(format!("{}/healthz", service.base_url())).send().await.unwrap();
            let gone = async { while connections(&service.metrics().await) > 2 {} };
            timeout(PATIENCE, gone).await.expect("the service detects the disconnect");
            barrier.open().await;
            client.get("/v1/mfa/devices").await.assert_status(200);
            seen.extend(backends(database.url()).await);
        }
    }
    assert!(seen.len() <= MAX, "Postgres saw {} connections of {MAX}", seen.len());
}
