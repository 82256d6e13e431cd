//! The spans of a request.

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

use super::{CALLER, CALLERS_SPAN, CALLERS_TRACE, Traced, WAIT, attributes, get_as_part_of, named};
use crate::harness::collector::attribute;
use crate::harness::{Engine, on_both_databases};

on_both_databases![a_request_and_its_statements_are_exported_as_one_trace];

async fn a_request_and_its_statements_are_exported_as_one_trace(it: Traced) {
    let client = it.app.partner();
    get_as_part_of(&client, "/v1/persons/ada/mobile_number", &format!("{CALLER}-01")).await.assert_status(404);
    let spans = it.spans().await;
    let request = named(&spans, "GET /v1/persons/{person_id}/mobile_number");
    assert_eq!(request.kind(), SpanKind::Server);
    assert_eq!(hex::encode(&request.trace_id), CALLERS_TRACE);
    assert_eq!(hex::encode(&request.parent_span_id), CALLERS_SPAN);
    let id = attribute(&request.attributes, "device_management.request_id").unwrap();
    assert_eq!(
        attributes(request),
        [
            "device_management.client=client-of-acme",
            "device_management.error_code=model_not_found",
            "device_management.partner=acme",
            &format!("device_management.request_id={id}"),
            "http.request.method=GET",
            "http.response.status_code=404",
            "http.route=/v1/persons/{person_id}/mobile_number",
            "url.scheme=http",
        ]
    );
    assert_ne!(request.status.as_ref().unwrap().code(), StatusCode::Error, "404 is not an error of the server");
    let statement = named(&spans, "SELECT mobile_number");
    assert_eq!(statement.kind(), SpanKind::Client);
    assert_eq!(statement.trace_id, request.trace_id);
    assert_eq!(statement.parent_span_id, request.span_id);
    assert!(request.start_time_unix_nano <= statement.start_time_unix_nano);
    assert!(statement.end_time_unix_nano <= request.end_time_unix_nano);
    for export in it.collector.exports() {
        for resource in export.resource_spans {
            let resource = resource.resource.unwrap();
            assert_eq!(attribute(&resource.attributes, "service.name").as_deref(), Some("device-management"));
            let instance = attribute(&resource.attributes, "service.instance.id").unwrap();
            assert_eq!(instance.len(), 36, "{instance} is a UUID");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sampler_decides_for_the_request_and_its_statements_together() {
    const RATIO: &str = "OTEL_TRACES_SAMPLER_ARG";
    for (sampler, ratio, callers_flags, is_recorded) in [
        ("always_on", "1", None, true),
        ("always_on", "1", Some("00"), true),
        ("always_off", "1", None, false),
        ("always_off", "1", Some("01"), false),
        ("traceidratio", "1", Some("00"), true),
        ("traceidratio", "0", Some("01"), false),
        ("parentbased_always_on", "1", None, true),
        ("parentbased_always_on", "1", Some("00"), false),
        ("parentbased_always_off", "1", None, false),
        ("parentbased_always_off", "1", Some("01"), true),
        ("parentbased_traceidratio", "0", None, false),
        ("parentbased_traceidratio", "0", Some("01"), true),
    ] {
        let it = Traced::with(Engine::Sqlite, &[("OTEL_TRACES_SAMPLER", sampler), (RATIO, ratio)]).await;
        let (client, path) = (it.app.partner(), "/v1/persons/ada/mobile_number");
        let answer = match callers_flags {
            Some(flags) => get_as_part_of(&client, path, &format!("{CALLER}-{flags}")).await,
            None => client.get(path).await,
        };
        answer.assert_status(404);
        let mut names: Vec<String> = it.spans().await.into_iter().map(|span| span.name).collect();
        // A new connection may have been opened.
        names.retain(|name| !(is_recorded && name == WAIT));
        let case = format!("{sampler} {ratio} {callers_flags:?}");
        if is_recorded {
            assert_eq!(names, ["SELECT mobile_number", "GET /v1/persons/{person_id}/mobile_number"], "{case}");
        } else {
            assert!(names.is_empty(), "{case}: {names:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_without_a_valid_parent_begins_a_trace() {
    let ignoring = [("OTEL_PROPAGATORS", "none")];
    for (settings, parent) in [
        (&[][..], format!("{CALLER}-0")),
        (&[], format!("{CALLER}-01-more")),
        (&[], format!("ff{}-01", &CALLER[2..])),
        (&[], "0".repeat(10_000)),
        (&ignoring[..], format!("{CALLER}-01")),
    ] {
        let it = Traced::with(Engine::Sqlite, settings).await;
        get_as_part_of(&it.app.stranger(), "/healthz", &parent).await.assert_status(200);
        let spans = it.spans().await;
        let request = named(&spans, "GET /healthz");
        assert!(request.parent_span_id.is_empty(), "{parent}: {request:#?}");
        assert_ne!(hex::encode(&request.trace_id), CALLERS_TRACE);
    }
}
