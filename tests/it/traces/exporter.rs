//! Exports to a collector that fails: no request notices, and spans are retried or dropped as OTLP specifies.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse};
use prost::Message;
use wiremock::ResponseTemplate;

use super::{PATIENCE, Traced};
use crate::harness::faulty_server::{Behaviour, FaultyServer};
use crate::harness::{Engine, Start, TestApp, free_port};

/// The paths of two requests with different span names.
const FIRST: &str = "/v1/mfa/devices";
const SECOND: &str = "/v1/persons/ada/mobile_number";

async fn traced() -> Traced {
    Traced::start(Engine::Sqlite).await
}

/// The names of the spans of requests in each export.
fn requests(it: &Traced) -> Vec<Vec<String>> {
    let of_export = |export: opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest| {
        let scopes = export.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        let names = scopes.flat_map(|scope| scope.spans).map(|span| span.name);
        names.filter(|name| name.starts_with("GET /")).collect()
    };
    it.collector.exports().into_iter().map(of_export).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_retried_while_the_collector_is_overloaded() {
    for status in [429, 502, 503, 504] {
        let it = traced().await;
        it.collector.answers(vec![ResponseTemplate::new(status), ResponseTemplate::new(200)]);
        it.app.stranger().get(FIRST).await.assert_status(401);
        it.collector.wait_for_exports(2, PATIENCE).await;
        it.spans().await;
        let exports = it.collector.exports();
        assert!(exports.len() == 2 && exports[0] == exports[1], "{status}: {exports:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_the_collector_refuses_is_not_retried() {
    let partial = ExportTracePartialSuccess { rejected_spans: 1, error_message: "no".to_owned() };
    let partly = ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec();
    for answer in [
        ResponseTemplate::new(400),
        ResponseTemplate::new(401),
        ResponseTemplate::new(404),
        ResponseTemplate::new(500),
        ResponseTemplate::new(301).insert_header("location", "http://elsewhere.example/"),
        ResponseTemplate::new(200).set_body_bytes(partly.clone()),
        ResponseTemplate::new(200).set_body_bytes(vec![0xff; 100_000]),
    ] {
        let it = traced().await;
        it.collector.answers(vec![answer.clone(), ResponseTemplate::new(200)]);
        it.app.stranger().get(FIRST).await.assert_status(401);
        it.collector.wait_for_exports(1, PATIENCE).await;
        it.app.stranger().get(SECOND).await.assert_status(401);
        it.spans().await;
        let second = "GET /v1/persons/{person_id}/mobile_number".to_owned();
        assert_eq!(requests(&it), [vec![format!("GET {FIRST}")], vec![second]], "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_answered_while_the_collector_is_unreachable_or_silent() {
    let silent = FaultyServer::start(Behaviour::Hang).await;
    for url in [format!("http://127.0.0.1:{}", free_port()), silent.url()] {
        // With the longest timeout, a request that waits for an export exceeds the test's patience.
        let settings = [("OTEL_EXPORTER_OTLP_ENDPOINT", &*url), ("OTEL_EXPORTER_OTLP_TIMEOUT", "60000")];
        let app = TestApp::with(Engine::Sqlite, &settings).await;
        let requests = async {
            for _ in 0..3 {
                app.partner().get(SECOND).await.assert_status(404);
            }
        };
        tokio::time::timeout(PATIENCE, requests).await.expect("requests do not wait for the collector");
        // The deadline of the flush, and not the timeout of the export, ends the wait.
        let flush = app.app.traces.finish(Duration::from_millis(100));
        tokio::time::timeout(PATIENCE / 4, flush).await.expect("the flush ends at its deadline");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_export_has_the_configured_headers() {
    const COMMON: (&str, &str) = ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%2Cb, x%2Dtenant = bank");
    for (settings, key, tenant) in [
        (&[COMMON][..], "a,b", "bank"),
        (&[COMMON, ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "api-key=c,x-tenant=other")], "c", "other"),
    ] {
        let it = Traced::with(Engine::Sqlite, settings).await;
        it.app.stranger().get("/healthz").await.assert_status(200);
        it.spans().await;
        assert_eq!(
            (it.collector.header("api-key").await, it.collector.header("x-tenant").await),
            (vec![key.to_owned()], vec![tenant.to_owned()])
        );
    }
}
