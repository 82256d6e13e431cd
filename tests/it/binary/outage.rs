//! An outage of the database, and the recovery.

use std::time::Instant;

use super::{PATIENCE, fail};
use crate::harness::{Answer, PostgresServer, Program, TestClient, can_start_servers_for};

/// Repeats the readiness check until it has this status: each check detects one broken connection, and its result is
/// cached for a second.
async fn until_readiness_is(status: u16, client: &TestClient) -> Answer {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = client.get("/readyz").await;
        if answer.status == status {
            return answer;
        }
        assert!(Instant::now() < deadline, "not {status} in time");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_database_the_service_is_live_but_not_ready_and_recovers() {
    if !can_start_servers_for("binary::outage::without_its_database_the_service_is_live_but_not_ready_and_recovers") {
        return;
    }
    let mut postgres = PostgresServer::start(&[]).unwrap();
    let program = Program::new().with("DATABASE_URL", &postgres.url("postgres"));
    let service = program.with("DATABASE_ACQUIRE_TIMEOUT_SECONDS", "1").serve();
    let client = service.sandbox_client().await;
    client.get("/readyz").await.assert_status(200);
    client.verified_person("ada").await;

    postgres.stop().unwrap();
    let unready = until_readiness_is(503, &client).await;
    unready.assert_error(503, "service_unavailable", "the service is not available right now, please try again");
    assert!(unready.headers.contains_key("retry-after"));
    client.get("/healthz").await.assert_status(200);
    let refused = client.get("/v1/mfa/devices").await;
    refused.assert_status(503);
    assert!(refused.headers.contains_key("retry-after"));
    let address = service.base_url().replace("http://", "");
    let (code, message) = fail(&Program::new().with("HTTP_ADDR", &address), &["healthcheck"]);
    assert_eq!((code, message.as_str()), (1, "device-management: not ready: status 503 Service Unavailable"));

    postgres.start_again().unwrap();
    until_readiness_is(200, &client).await;
    client.get("/v1/persons/ada/mobile_number").await.assert_status(200);
}
