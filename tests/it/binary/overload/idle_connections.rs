//! Slow and silent connections are closed: before the head, in the head, in the body, and between requests.

use std::time::Duration;

use super::{Wire, status};
use crate::binary::sandbox_on;
use crate::harness::{Engine, Program, Start, TestDatabase};

/// Longer than every timeout of the service for a connection.
const PATIENCE: Duration = Duration::from_secs(25);
const DRIP: Duration = Duration::from_millis(200);
/// The head timeout of the service, minus an allowance for a loaded machine.
const HEAD_DEADLINE: Duration = Duration::from_secs(9);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_without_a_complete_request_is_closed() {
    let service = Program::new().serve();
    let silent = async {
        let mut wire = Wire::to(&service).await;
        assert_eq!(wire.until_closed(PATIENCE).await.0, "");
    };
    let half_a_greeting = async {
        let mut wire = Wire::to(&service).await;
        wire.send(b"PRI * HTTP/2.0\r\n").await.unwrap();
        assert_eq!(wire.until_closed(PATIENCE).await.0, "");
    };
    let greeting_without_a_stream = async {
        let mut wire = Wire::to(&service).await;
        wire.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
        wire.until_closed(PATIENCE).await;
    };
    let slow_head = async {
        let mut wire = Wire::to(&service).await;
        wire.send(b"GET /healthz HTTP/1.1\r\nhost: a\r\nx-slow: ").await.unwrap();
        let (said, took) = wire.drip(b'x', DRIP, PATIENCE).await;
        assert_eq!(status(&said), None, "{said}");
        assert!(took > HEAD_DEADLINE, "closed after {took:?}, before the head timeout");
    };
    let idle_after_a_request = async {
        let mut wire = Wire::to(&service).await;
        wire.send(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let (said, took) = wire.until_closed(PATIENCE).await;
        assert_eq!(status(&said), Some(200), "{said}");
        assert!(took > HEAD_DEADLINE, "keep-alive ended after {took:?}");
    };
    tokio::join!(silent, half_a_greeting, greeting_without_a_stream, slow_head, idle_after_a_request);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_body_is_400_and_its_connection_is_closed() {
    let database = TestDatabase::start(Engine::Sqlite).await;
    let service = sandbox_on(&database).with("REQUEST_DEADLINE_SECONDS", "3").serve();
    let token = service.sandbox_client().await.token().unwrap().to_owned();
    let head = |path: &str, framing: &str| {
        format!("POST {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n{framing}\r\n\r\n")
    };
    let drip = async |head: String, begin: &[u8], byte: u8| {
        let mut wire = Wire::to(&service).await;
        wire.send(head.as_bytes()).await.unwrap();
        wire.send(begin).await.unwrap();
        wire.drip(byte, DRIP, PATIENCE).await.0
    };
    let announced = drip(head("/v1/mfa/devices", "content-length: 100000"), b"{", b' ');
    // A chunk with an endless length, then an endless chunk.
    let endless_length = drip(head("/v1/mfa/devices", "transfer-encoding: chunked"), b"1\r\n{\r\n", b'0');
    let chunk = drip(head("/v1/mfa/devices", "transfer-encoding: chunked"), b"fffff\r\n{", b' ');
    let token_form = drip(head("/oauth2/token", "content-length: 9999"), b"", b'x');
    let (announced, endless_length, chunk, token_form) = tokio::join!(announced, endless_length, chunk, token_form);
    for said in [announced, endless_length, chunk] {
        assert_eq!(status(&said), Some(400), "{said}");
        assert!(said.contains("\r\nconnection: close\r\n") && said.contains("\"invalid_json\""), "{said}");
    }
    assert_eq!(status(&token_form), Some(400), "{token_form}");
    assert!(token_form.contains("\"invalid_request\""), "{token_form}");
    service.sandbox_client().await.get("/v1/mfa/devices").await.assert_status(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_above_the_limit_wait_until_another_closes() {
    let service = Program::new().with("CONNECTIONS_MAX", "2").serve();
    let first = Wire::to(&service).await;
    let mut second = Wire::to(&service).await;
    let ask = b"GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let mut third = Wire::to(&service).await;
    third.send(ask).await.unwrap();
    let metrics = service.metrics().await;
    assert!(metrics.contains("http_connections 2\n"), "{metrics}");

    // While both are open the third is not served. Connections to the metrics listener are counted separately.
    let mut byte = [0];
    let unheard = tokio::time::timeout(Duration::from_secs(1), third.0.peek(&mut byte)).await;
    assert!(unheard.is_err(), "a connection above the limit was served");
    drop(first);
    assert_eq!(status(&third.until_closed(PATIENCE).await.0), Some(200));
    second.send(ask).await.unwrap();
    assert_eq!(status(&second.until_closed(PATIENCE).await.0), Some(200));
}
