//! Outgoing calls: their spans, and which servers get a `traceparent`.

use axum::body::Body;
use axum::http::Request;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::json;
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{CALLER, CALLERS_TRACE, Traced, attributes, named};
use crate::fraud_flow::PAYLOAD;
use crate::harness::collector::attribute;
use crate::harness::identity_provider::{AUDIENCE, IdentityProvider, IssuerKey};
use crate::harness::{Engine, Phone};

/// The answers of the SMS gateway and of SEON.
struct Answers {
    gateway: u16,
    seon: u16,
}

/// Asks for a device, with the headers of a caller; the spans, and the headers that the gateway and SEON got.
async fn ask_for_device(answers: Answers, settings: &[(&str, &str)], flags: &str) -> (Vec<Span>, [HeaderMap; 2]) {
    let server = MockServer::start().await;
    let verdict = json!({"success": true, "data": {"id": "1", "state": "APPROVE", "fraud_score": 1}});
    let seon = ResponseTemplate::new(answers.seon).set_body_json(verdict);
    Mock::given(path("/SeonRestService/fraud-api/v2")).respond_with(seon).mount(&server).await;
    Mock::given(path("/sms")).respond_with(ResponseTemplate::new(answers.gateway)).mount(&server).await;
    let (uri, gateway) = (server.uri(), format!("{}/sms?token=secret", server.uri()));
    let usual = [
        ("SMS_PROVIDERS", "webhook"),
        ("SMS_WEBHOOK_URL", &*gateway),
        ("SMS_WEBHOOK_TOKEN", "token"),
        ("SEON_API_KEY", "key"),
        ("SEON_BASE_URL", &*uri),
    ];
    let it = Traced::with(Engine::Sqlite, &[&usual, settings].concat()).await;
    let client = it.app.partner();
    client.verified_person("ada").await;
    let body =
        json!({"person_id": "ada", "key_type": "ecdsa-p256", "key": Phone::new(1).key(), "device_data": PAYLOAD});
    let request = Request::post("/v1/mfa/devices").header("content-type", "application/json");
    let request = request.header("traceparent", format!("{CALLER}-{flags}")).header("tracestate", "name=value");
    let request = request.header("baggage", "user=ada").body(Body::from(body.to_string())).unwrap();
    let status = if answers.gateway < 300 { 202 } else { 502 };
    client.request(request).await.assert_status(status);
    let received = server.received_requests().await.unwrap();
    let headers = |path: &str| received.iter().find(|request| request.url.path() == path).unwrap().headers.clone();
    (it.spans().await, [headers("/sms"), headers("/SeonRestService/fraud-api/v2")])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_has_a_span_without_its_url() {
    let (spans, _) = ask_for_device(Answers { gateway: 202, seon: 200 }, &[], "01").await;
    let request = named(&spans, "POST /v1/mfa/devices");
    for peer in ["webhook", "seon"] {
        let call = named(&spans, &format!("POST {peer}"));
        assert_eq!((call.kind(), &call.parent_span_id), (SpanKind::Client, &request.span_id), "{peer}");
        let port = attribute(&call.attributes, "server.port").unwrap();
        let status = if peer == "webhook" { 202 } else { 200 };
        assert_eq!(
            attributes(call),
            [
                "http.request.method=POST",
                &format!("http.response.status_code={status}"),
                "server.address=127.0.0.1",
                &format!("server.port={port}"),
                &format!("service.peer.name={peer}"),
            ]
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_fails_has_the_status_as_its_error() {
    let (spans, _) = ask_for_device(Answers { gateway: 422, seon: 500 }, &[], "01").await;
    for (name, error) in [("POST webhook", "422"), ("POST seon", "500"), ("POST /v1/mfa/devices", "bad_gateway")] {
        let span = named(&spans, name);
        assert_eq!(attribute(&span.attributes, "error.type").as_deref(), Some(error), "{name}");
        let status = span.status.as_ref().unwrap();
        assert_eq!((status.code(), &*status.message), (StatusCode::Error, ""), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_listed_servers_get_a_traceparent_and_none_gets_baggage() {
    for (listed, expected) in
        [("", [false, false]), ("webhook", [true, false]), ("seon", [false, true]), ("webhook,seon", [true, true])]
    {
        let settings = [("TRACEPARENT_TO", listed)];
        let (spans, headers) = ask_for_device(Answers { gateway: 202, seon: 200 }, &settings, "01").await;
        for ((headers, expected), peer) in headers.iter().zip(expected).zip(["webhook", "seon"]) {
            let call = named(&spans, &format!("POST {peer}"));
            let parent = format!("00-{CALLERS_TRACE}-{}-01", hex::encode(&call.span_id));
            let sent = headers.get("traceparent").map(|value| value.to_str().unwrap());
            assert_eq!(sent, expected.then_some(&*parent), "{peer} with {listed:?}");
            assert!(!headers.contains_key("tracestate") && !headers.contains_key("baggage"), "{headers:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_traceparent_of_a_request_that_is_not_sampled_says_so() {
    let settings = [("TRACEPARENT_TO", "webhook,seon")];
    let (spans, headers) = ask_for_device(Answers { gateway: 202, seon: 200 }, &settings, "00").await;
    assert!(spans.iter().all(|span| hex::encode(&span.trace_id) != CALLERS_TRACE), "{spans:#?}");
    for headers in headers {
        let parent = headers["traceparent"].to_str().unwrap();
        assert!(parent.starts_with(&format!("00-{CALLERS_TRACE}-")) && parent.ends_with("-00"), "{parent}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_fetch_of_an_identity_providers_keys_is_part_of_the_request_that_needs_them() {
    let key = IssuerKey::ec("one", 1);
    let provider = IdentityProvider::with(&[&key]).await;
    let issuer = provider.issuer();
    let it = Traced::with(Engine::Sqlite, &[("EXTERNAL_ISSUER", &issuer), ("EXTERNAL_AUDIENCE", AUDIENCE)]).await;
    let far = 4_000_000_000_i64;
    let claims = json!({"iss": issuer, "aud": AUDIENCE, "sub": "x", "partner": "acme", "scope": "", "exp": far});
    it.app.with_token(Some(&key.token(&claims))).get("/v1/mfa/devices").await.assert_status(403);
    let spans = it.spans().await;
    let request = named(&spans, "GET /v1/mfa/devices");
    let calls: Vec<&Span> = spans.iter().filter(|span| span.name == "GET identity_provider").collect();
    assert!(!calls.is_empty() && calls.iter().all(|call| call.parent_span_id == request.span_id), "{spans:#?}");
}
