//! The processes that are killed, or replaced by those of another build, and the HTTP client to them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use device_management::domain::idempotency::scope;
use device_management::domain::person::PartnerId;
use reqwest::StatusCode;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::sms_gateway::SmsGateway;
use crate::audit::Literals;
use crate::binary::{PATIENCE, exit_code};
use crate::harness::contract::CONTRACT;
use crate::harness::{Answer, Program, Service, TestDatabase, sql};

/// Longer than any answer takes.
const DEADLINE: Duration = Duration::from_mins(1);

/// A request that can be retried.
pub(super) struct Request {
    /// The kind in the figures.
    pub(super) kind: &'static str,
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) body: Option<Value>,
    pub(super) key: Option<String>,
}

/// One or more replicas on one database.
pub(super) struct Processes {
    replicas: Vec<Arc<Replica>>,
    http: reqwest::Client,
    token: String,
    events: watch::Sender<u64>,
    unavailable: AtomicUsize,
    database: (String, Literals),
}

struct Replica {
    program: Mutex<Program>,
    /// None between an end and the next start.
    service: watch::Sender<Option<Arc<Service>>>,
}

impl Processes {
    pub(super) async fn start(programs: Vec<Program>, database: &TestDatabase, gateway: &SmsGateway) -> Self {
        let replicas = programs.into_iter().map(|program| {
            let service = Arc::new(program.serve());
            Arc::new(Replica { program: Mutex::new(program), service: watch::Sender::new(Some(service)) })
        });
        let replicas: Vec<_> = replicas.collect();
        let service = replicas[0].service.borrow().clone().expect("it has just started");
        let token = service.sandbox_client().await.token().expect("a token").to_owned();
        let http = reqwest::Client::builder().no_proxy().timeout(DEADLINE).build().expect("a client can be made");
        let database = (database.url().to_owned(), Literals(database.engine()));
        let unavailable = AtomicUsize::new(0);
        Self { replicas, http, token, events: gateway.events().clone(), unavailable, database }
    }

    pub(super) fn size(&self) -> usize {
        self.replicas.len()
    }

    /// The number of requests that were answered with 503.
    pub(super) fn unavailable(&self) -> usize {
        self.unavailable.load(Ordering::Relaxed)
    }

    /// Sends a request. `None` if the process ended before the complete answer arrived, or if the answer was 503: in both
    /// cases the request may have taken effect.
    pub(super) async fn send(&self, request: &Request, replica: usize) -> Option<Answer> {
        let Request { method, path, body, key, .. } = request;
        loop {
            let url = format!("http://{}{path}", self.replicas[replica].address().await);
            let mut sent = self.http.request(method.parse().expect("a method"), url).bearer_auth(&self.token);
            if let Some(body) = body {
                sent = sent.json(body);
            }
            if let Some(key) = key {
                sent = sent.header("idempotency-key", key);
            }
            self.happened();
            match sent.send().await {
                Ok(response) => {
                    let (status, headers) = (response.status(), response.headers().clone());
                    let body = response.bytes().await.ok()?;
                    let verdict = CONTRACT.check(method, path, status.as_u16(), &headers, &body);
                    verdict.unwrap_or_else(|fault| panic!("{method} {path} against openapi.yaml: {fault}"));
                    self.happened();
                    if status == StatusCode::SERVICE_UNAVAILABLE {
                        self.unavailable.fetch_add(1, Ordering::Relaxed);
                        return None;
                    }
                    return Some(Answer { status, headers, body });
                }
                // The process was not listening.
                Err(error) if error.is_connect() => tokio::task::yield_now().await,
                Err(error) if error.is_timeout() => panic!("{method} {path}: no answer"),
                Err(_) => return None,
            }
        }
    }

    /// Waits for this many more requests, answers and messages.
    pub(super) async fn events(&self, more: u64) {
        let mut events = self.events.subscribe();
        let goal = *events.borrow() + more;
        events.wait_for(|events| *events >= goal).await.expect("the sender is ours");
    }

    fn happened(&self) {
        self.events.send_modify(|events| *events += 1);
    }

    /// Kills a replica and starts it again.
    pub(super) async fn kill_and_start(&self, replica: usize) {
        let replica = self.replicas[replica].clone();
        let done = spawn_blocking(move || {
            let service = replica.service.send_replace(None).expect("only this task kills it");
            service.kill();
            replica.start();
        });
        done.await.expect("the replica starts again");
    }

    /// Stops a replica as an operator does.
    pub(super) async fn stop_one(&self, replica: usize) {
        let service = self.replicas[replica].service.send_replace(None).expect("no kill is under way");
        let stopped = spawn_blocking(move || {
            service.terminate();
            exit_code(&service)
        });
        assert_eq!(stopped.await.expect("the replica exits"), 0);
    }

    /// Starts a stopped replica as another program.
    pub(super) async fn start_one(&self, replica: usize, program: Program) {
        let replica = self.replicas[replica].clone();
        *replica.program.lock().unwrap() = program;
        spawn_blocking(move || replica.start()).await.expect("the replica starts");
    }

    /// Makes the lease of one claim expire, that of a request whose process was killed.
    pub(super) async fn expire_claim(&self, request: &Request) {
        let (url, literals) = &self.database;
        let key = request.key.as_deref().expect("a claim is for a key");
        let sandbox = PartnerId::parse("sandbox").unwrap();
        let scope = literals.bytes(&scope(&sandbox, "sandbox", request.method, &request.path, key));
        let age = format!("update idempotent_request set lease_until = claimed_at where scope = {scope}");
        assert_eq!(sql::execute(url, &age).await, 1, "the request has a claim");
    }

    /// Stops all replicas as an operator does.
    pub(super) async fn stop(&self) {
        for replica in 0..self.size() {
            self.stop_one(replica).await;
        }
    }
}

impl Replica {
    fn start(&self) {
        let service = self.program.lock().unwrap().serve();
        self.service.send_replace(Some(Arc::new(service)));
    }

    /// Waits until the replica listens, and returns its address.
    async fn address(&self) -> SocketAddr {
        let mut service = self.service.subscribe();
        let service = tokio::time::timeout(2 * PATIENCE, service.wait_for(Option::is_some)).await;
        let service = service.expect("the replica starts in time").expect("this replica owns the sender");
        service.as_ref().expect("waited for").address()
    }
}
