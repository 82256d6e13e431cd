//! A stalled log reader: the pipe of standard error is full. The service answers, stops, and drops no line while its
//! queue has room.

use tokio::time::timeout;

use super::PATIENCE;
use crate::harness::{Program, Service, TestClient};

/// Enough requests for their log lines to exceed the pipe (64 KiB) and a reader's buffer several times.
const REQUESTS: usize = 1500;

/// Requests with a log line each, one after the other.
async fn ask(service: &Service) -> TestClient {
    let asked = timeout(PATIENCE, async {
        let client = service.sandbox_client().await;
        for _ in 0..REQUESTS {
            client.get("/v1/no/such/route").await.assert_status(404);
        }
        client
    });
    asked.await.expect("all requests are answered")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_health_and_metrics_are_answered_while_the_log_reader_stalls() {
    let service = Program::new().with("LOG_FORMAT", "json").serve();
    service.stall_log_reader();
    let client = ask(&service).await;
    for path in ["/healthz", "/readyz", "/v1/mfa/devices"] {
        client.get(path).await.assert_status(200);
    }
    let metrics = service.metrics().await;
    for kind in ["ordinary", "important"] {
        assert!(metrics.contains(&format!("log_lines_dropped_total{{kind=\"{kind}\"}} 0\n")), "{metrics}");
    }

    service.resume_log_reader();
    service.terminate();
    assert_eq!(super::exit_code(&service), 0);
    let lines = service.logs();
    let answered = lines.iter().filter(|line| line.contains("\"status\":404")).count();
    assert_eq!(answered, REQUESTS);
    assert!(lines.last().unwrap().contains("stopped"), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_ends_the_service_while_the_log_reader_stalls() {
    let service = Program::new().with("SHUTDOWN_DELAY_SECONDS", "0").serve();
    service.stall_log_reader();
    ask(&service).await;
    service.terminate();
    let status = service.exit_status(PATIENCE).await.expect("the service exits");
    assert_eq!(status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_standard_error_does_not_stop_the_service() {
    let service = Program::new().with("SHUTDOWN_DELAY_SECONDS", "0").serve();
    service.close_log_reader();
    ask(&service).await.get("/healthz").await.assert_status(200);
    service.terminate();
    assert_eq!(service.exit_status(PATIENCE).await.expect("it ends").code(), Some(0));
}
