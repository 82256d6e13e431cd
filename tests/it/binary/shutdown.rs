//! Graceful shutdown on SIGTERM: not ready immediately, running requests finish, and the exit code says whether they
//! did in time.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinHandle;

use super::gateway::Gateway;
use super::{PATIENCE, exit_code};
use crate::harness::{Answer, Phone, Program, Service};

/// Starts a request for a device, for a person with a verified number.
async fn ask(service: &Service) -> JoinHandle<Answer> {
    let client = service.sandbox_client().await;
    client.verified_person("ada").await;
    let device_body = json!({"person_id": "ada", "key_type": "ecdsa-p256", "key": Phone::new(1).key()});
    tokio::spawn(async move { client.post("/v1/mfa/devices", device_body).await })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn running_requests_finish_and_new_ones_are_served_during_the_shutdown_delay() {
    let gateway = Gateway::start().await;
    let service = gateway.used_by(Program::new()).with("SHUTDOWN_DELAY_SECONDS", "3").serve();
    let running = ask(&service).await;
    gateway.message().await;
    service.terminate();

    service.wait_for_log("stop signal received, no longer ready", PATIENCE);
    let late = service.sandbox_client().await;
    let answer = late.get("/readyz").await;
    answer.assert_status(503);
    assert!(answer.headers.contains_key("retry-after"));
    late.get("/healthz").await.assert_status(200);
    late.get("/v1/mfa/devices").await.assert_status(200);

    service.wait_for_log("listener closed, draining connections", PATIENCE);
    TcpStream::connect(service.base_url().trim_start_matches("http://")).unwrap_err();
    gateway.take();
    running.await.unwrap().assert_status(202);
    assert_eq!(exit_code(&service), 0);
    assert!(service.logs().last().unwrap().contains("stopped in_time=true"), "{:?}", service.logs());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_past_the_shutdown_deadline_make_the_exit_code_1() {
    let gateway = Gateway::start().await;
    let service = gateway.used_by(Program::new()).with("SHUTDOWN_DEADLINE_SECONDS", "1").serve();
    let running = ask(&service).await;
    gateway.message().await;
    service.terminate();
    assert_eq!(exit_code(&service), 1);
    let logs = service.logs();
    let message = "device-management: requests were still running when the shutdown deadline passed";
    assert_eq!(logs.last().map(String::as_str), Some(message), "{logs:#?}");
    assert!(running.await.is_err(), "the connection ended without an answer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_binding_of_a_disconnected_client_finishes_before_the_exit() {
    let gateway = Gateway::start().await;
    let service = gateway.used_by(Program::new()).serve();
    let running = ask(&service).await;
    gateway.message().await;
    running.abort();
    service.terminate();
    service.wait_for_log("listener closed, draining connections", PATIENCE);
    gateway.take();
    assert_eq!(exit_code(&service), 0);
    assert!(service.logs().iter().any(|line| line.contains("device binding requested")), "{:#?}", service.logs());
}

#[test]
fn idle_connections_do_not_delay_the_shutdown() {
    let service = Program::new().serve();
    let address = service.base_url().replace("http://", "");
    let silent = TcpStream::connect(&address).unwrap();
    let mut idle = TcpStream::connect(&address).unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    assert_eq!(idle.read(&mut [0; 12]).unwrap(), 12);

    service.terminate();
    assert_eq!(service.wait(Duration::from_secs(9)).code(), Some(0), "before any timeout of idle connections");
    for mut connection in [silent, idle] {
        connection.read_to_end(&mut Vec::new()).unwrap();
    }
}
