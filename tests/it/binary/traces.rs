//! Traces of the executable, exported by its own runtime.

use serde_json::Value;
use wiremock::ResponseTemplate;

use super::{PATIENCE, exit_code};
use crate::harness::{Collector, Program, Service, free_port};

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// How many spans have this outcome in the metrics.
async fn spans(service: &Service, outcome: &str) -> u64 {
    let series = format!("trace_spans_total{{outcome=\"{outcome}\"}} ");
    let metrics = service.metrics().await;
    let value = metrics.lines().find_map(|line| line.strip_prefix(&*series));
    value.unwrap_or_else(|| panic!("no {series} in {metrics}")).parse().unwrap()
}

/// The span of the log line of a request to this route.
fn logged(service: &Service, route: &str) -> Value {
    service.wait_for_log(&format!("\"route\":\"{route}\""), PATIENCE);
    let lines = service.logs();
    let mut lines = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.find(|line| line["span"]["route"] == route).expect("the line is there")["span"].take()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_are_exported_while_the_service_runs_and_when_it_stops() {
    let collector = Collector::start().await;
    let service = Program::new().with(ENDPOINT, &collector.endpoint()).with("LOG_FORMAT", "json").serve();
    service.stranger().get("/v1/mfa/devices").await.assert_status(401);
    let span = collector.wait_for_span("GET /v1/mfa/devices", PATIENCE).await;
    assert_eq!(logged(&service, "/v1/mfa/devices")["trace_id"], hex::encode(&span.trace_id));
    service.stranger().get("/healthz").await.assert_status(200);
    service.terminate();
    assert_eq!(exit_code(&service), 0);
    assert!(collector.spans().iter().any(|span| span.name == "GET /healthz"), "{:#?}", collector.spans());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traces_are_off_without_an_endpoint_and_when_they_are_disabled() {
    let collector = Collector::start().await;
    for (name, value) in [
        (ENDPOINT, String::new()),
        ("OTEL_SDK_DISABLED", "true".to_owned()),
        ("OTEL_TRACES_EXPORTER", "none".to_owned()),
    ] {
        let program = Program::new().with("LOG_FORMAT", "json").with(ENDPOINT, &collector.endpoint());
        let service = program.with(name, &value).serve();
        service.stranger().get("/v1/mfa/devices").await.assert_status(401);
        assert!(logged(&service, "/v1/mfa/devices").get("trace_id").is_none(), "{name}");
        assert_eq!(spans(&service, "exported").await, 0);
        service.terminate();
        assert_eq!(exit_code(&service), 0);
    }
    assert!(collector.exports().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_spans_are_counted_and_the_first_failure_of_each_kind_and_the_recovery_are_logged() {
    let collector = Collector::start().await;
    let refusal = ResponseTemplate::new(401);
    collector.answers(vec![ResponseTemplate::new(503), refusal.clone(), refusal, ResponseTemplate::new(200)]);
    let service = Program::new().with(ENDPOINT, &collector.endpoint()).serve();
    for number in 2..=4 {
        service.stranger().get("/healthz").await.assert_status(200);
        collector.wait_for_exports(number, PATIENCE).await;
    }
    service.wait_for_log("trace export recovered", PATIENCE);
    assert_eq!((spans(&service, "rejected").await, spans(&service, "exported").await), (2, 1));
    let logs = service.logs();
    assert_eq!(logs.iter().filter(|line| line.contains("trace export failed, will retry")).count(), 1, "{logs:#?}");
    let refused: Vec<&String> = logs.iter().filter(|line| line.contains("trace export refused")).collect();
    assert!(matches!(&refused[..], [line] if line.contains("ERROR") && line.contains("401")), "{refused:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_collector_neither_prevents_the_start_nor_the_exit() {
    let endpoint = format!("http://127.0.0.1:{}", free_port());
    let service = Program::new().with(ENDPOINT, &endpoint).serve();
    service.stranger().get("/healthz").await.assert_status(200);
    service.wait_for_log("trace export failed, will retry", PATIENCE);
    service.terminate();
    assert_eq!(exit_code(&service), 0);
    service.wait_for_log("trace spans lost", PATIENCE);
}
