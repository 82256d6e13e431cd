//! `Host` and `Content-Encoding`, as bytes on a connection.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::sandbox_on;
use crate::harness::{Engine, Service, Start, TestDatabase};

/// Sends a head of these lines, and reads until the service closes the connection.
async fn ask(service: &Service, lines: &[&str]) -> String {
    exchange(service, &[lines, &["Connection: close", "", ""]].concat().join("\r\n")).await
}

/// Sends a text, and reads until the service closes the connection.
pub(super) async fn exchange(service: &Service, request: &str) -> String {
    let mut stream = TcpStream::connect(service.address()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(Duration::from_secs(20), stream.read_to_string(&mut answer)).await.expect("it closes").unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_ambiguous_or_malformed_host_is_refused() {
    let database = TestDatabase::start(Engine::Sqlite).await;
    let service = sandbox_on(&database).serve();
    for clear in [
        &["GET /healthz HTTP/1.1", "Host: a.example:8080"][..],
        &["GET /healthz HTTP/1.1", "host:[::1]"],
        &["GET http://a.example/healthz HTTP/1.1", "Host: A.example:80"],
        &["GET http://a.example/healthz HTTP/1.1", "Host: b.example"],
        &["GET /healthz HTTP/1.0"],
    ] {
        let answer = ask(&service, clear).await;
        assert!(answer.contains(" 200 OK\r\n"), "{clear:?}: {answer}");
    }
    for unclear in [
        &["GET /healthz HTTP/1.1"][..],
        &["GET /nowhere HTTP/1.1"],
        &["GET /healthz HTTP/1.1", "Host:"],
        &["GET /healthz HTTP/1.1", "Host: a", "Host: a"],
        &["GET /healthz HTTP/1.0", "Host: a", "Host: b"],
        &["GET /healthz HTTP/1.1", "Host: a, b"],
        &["GET /healthz HTTP/1.1", "Host: a/b"],
        &["GET /healthz HTTP/1.1", "Host: user@a"],
        &["GET http://a/healthz HTTP/1.1"],
        &["GET http://a/healthz HTTP/1.1", "Host: b", "Host: a"],
        &["GET http://a/healthz HTTP/1.1", "Host: b/c"],
    ] {
        let answer = ask(&service, unclear).await;
        assert!(answer.starts_with("HTTP/1.1 400 ") || answer.starts_with("HTTP/1.0 400 "), "{unclear:?}: {answer}");
        assert!(answer.contains(r#""code":"validation_error""#), "{unclear:?}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compressed_body_is_415_with_accept_encoding() {
    let database = TestDatabase::start(Engine::Sqlite).await;
    let service = sandbox_on(&database).serve();
    for path in ["/oauth2/token", "/oauth/token"] {
        for coding in ["gzip", "br", "identity, gzip"] {
            let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Encoding: {coding}");
            let answer = exchange(&service, &format!("{head}\r\nContent-Length: 1\r\n\r\nx")).await;
            assert!(
                answer.starts_with("HTTP/1.1 415 ") && answer.contains("\r\naccept-encoding: identity\r\n"),
                "{answer}"
            );
        }
        let path = format!("POST {path} HTTP/1.1");
        let answer = ask(&service, &[&path, "Host: a", "Content-Encoding: Identity", "Content-Length: 0"]).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
}
