//! SIGTERM: not ready at once, nobody who is being served is dropped, and an exit code that tells how it went.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinHandle;

use super::gateway::Gateway;
use super::{PATIENCE, exit_code};
use crate::harness::{Answer, Phone, Program, Service};

/// Asks for a device on behalf of a person who has a number.
async fn ask(service: &Service) -> JoinHandle<Answer> {
    let client = service.sandbox_client().await;
    client.verified_person("ada").await;
    let wish = json!({"person_id": "ada", "key_type": "ecdsa-p256", "key": Phone::new(1).key()});
    tokio::spawn(async move { client.post("/v1/mfa/devices", wish).await })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_is_finished_and_new_requests_are_served_until_balancers_have_noticed() {
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
async fn what_runs_longer_than_the_deadline_makes_the_exit_a_failure() {
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
async fn a_binding_whose_client_hung_up_is_finished_too() {
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
fn connections_that_nobody_uses_do_not_hold_it_up() {
    let service = Program::new().serve();
    let address = service.base_url().replace("http://", "");
    let silent = TcpStream::connect(&address).unwrap();
    let mut idle = TcpStream::connect(&address).unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    assert_eq!(idle.read(&mut [0; 12]).unwrap(), 12);

    service.terminate();
    assert_eq!(service.wait(Duration::from_secs(9)).code(), Some(0), "sooner than any timeout for clients");
    for mut connection in [silent, idle] {
        connection.read_to_end(&mut Vec::new()).unwrap();
    }
}
