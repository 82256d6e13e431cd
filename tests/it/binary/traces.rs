//! Traces of the executable, exported by its own runtime.

use super::{PATIENCE, exit_code};
use crate::harness::{Collector, Program};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_are_exported_while_the_service_runs_and_when_it_stops() {
    let collector = Collector::start().await;
    let service = Program::new().with("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint()).serve();
    service.stranger().get("/v1/mfa/devices").await.assert_status(401);
    collector.wait_for_span("GET /v1/mfa/devices", PATIENCE).await;
    service.stranger().get("/healthz").await.assert_status(200);
    service.terminate();
    assert_eq!(exit_code(&service), 0);
    assert!(collector.spans().iter().any(|span| span.name == "GET /healthz"), "{:#?}", collector.spans());
}
