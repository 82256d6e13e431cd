//! The metrics listener has the timeouts of the API's listener and a low limit of connections, so it cannot exhaust the
//! file descriptors of the API.

use std::process::Command;
use std::time::Duration;

use super::Wire;
use crate::harness::{Program, Service};

const PATIENCE: Duration = Duration::from_secs(25);
/// More than the service may keep open, see below.
const HALF_HEADS: usize = 100;

async fn half_heads(service: &Service) -> Vec<Wire> {
    let mut wires = Vec::new();
    for _ in 0..HALF_HEADS {
        let mut wire = Wire::to_address(service.metrics_address()).await;
        wire.send(b"GET /metrics HTTP/1.1\r\nhost: a\r\n").await.unwrap();
        wires.push(wire);
    }
    wires
}

fn open_files(service: &Service) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", service.id())).unwrap().count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn incomplete_heads_at_the_metrics_listener_leave_file_descriptors_to_the_api() {
    let service = Program::new().serve();
    let limit = format!("--nofile={}", open_files(&service) + HALF_HEADS / 2);
    let limited = Command::new("prlimit").args(["--pid", &service.id().to_string(), &limit]).status();
    assert!(limited.is_ok_and(|status| status.success()), "prlimit is part of util-linux");

    let mut wires = half_heads(&service).await;
    let client = service.sandbox_client().await;
    client.get("/v1/mfa/devices").await.assert_status(200);
    assert!(service.logs().iter().all(|line| !line.contains("connection not accepted")), "{:#?}", service.logs());

    // Each connection is closed when its head timeout has passed.
    assert_eq!(wires[0].until_closed(PATIENCE).await.0, "");
    drop(wires);
    assert!(service.metrics().await.contains("http_requests_total"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_metrics_listener_closes_connections_that_are_idle_or_send_too_large_a_head() {
    let service = Program::new().serve();
    let silent = async {
        let mut wire = Wire::to_address(service.metrics_address()).await;
        assert_eq!(wire.until_closed(PATIENCE).await.0, "");
    };
    let large = async {
        let mut wire = Wire::to_address(service.metrics_address()).await;
        wire.send(b"GET /metrics HTTP/1.1\r\nhost: a\r\nx: ").await.unwrap();
        // The service may close while this is still being sent.
        let _ = wire.send(&vec![b'x'; 64 * 1024]).await;
        assert_eq!(super::status(&wire.until_closed(PATIENCE).await.0), Some(431));
    };
    tokio::join!(silent, large);
}
