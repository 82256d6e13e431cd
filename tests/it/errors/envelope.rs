//! Errors before a use case runs: routes, methods, media types, body sizes. And the request id that every answer
//! carries.

use axum::body::Body;
use axum::http::Request;
use serde_json::json;

use crate::harness::{Answer, Engine, NUMBER, Phone, TestApp};

const DEVICES: &str = "/v1/mfa/devices";

#[tokio::test]
async fn an_unknown_route_is_404_with_or_without_a_token() {
    let app = TestApp::with(Engine::Sqlite, &[]).await;
    for path in
        ["/", "/v1", "/v1/mfa", "/v2/mfa/devices", "/v1/mfa/devices/", "//v1/mfa/devices", "/v1/persons/a", "/metrics"]
    {
        for client in [app.partner(), app.stranger()] {
            for method in ["GET", "POST", "DELETE", "BREW"] {
                client.send(method, path, None).await.assert_error(404, "not_found", "no such route");
            }
        }
    }
}

#[tokio::test]
async fn an_unknown_method_is_405_with_the_allowed_methods() {
    let app = TestApp::with(Engine::Sqlite, &[]).await;
    for (path, allowed) in [
        (DEVICES, "GET HEAD POST"),
        ("/v1/mfa/devices/1", "DELETE GET HEAD"),
        ("/v1/mfa/devices/1/keys", "GET HEAD POST"),
        ("/v1/mfa/devices/1/keys/1", "GET HEAD"),
        ("/v1/mfa/challenges/signatures/1", "GET HEAD PUT"),
        ("/v1/persons/ada/mobile_number", "DELETE GET HEAD POST"),
        ("/v1/persons/ada/mobile_number/authorize", "POST"),
        ("/v1/persons/ada/mobile_number/confirm", "POST"),
        ("/oauth2/token", "POST"),
        ("/oauth/token", "POST"),
        ("/healthz", "GET HEAD"),
        ("/readyz", "GET HEAD"),
        ("/openapi.yaml", "GET HEAD"),
        ("/docs", "GET HEAD"),
        ("/docs/swagger-ui.css", "GET HEAD"),
        ("/sandbox/messages", "GET HEAD"),
        ("/sandbox/clock", "GET HEAD POST"),
    ] {
        for method in ["PATCH", "OPTIONS", "TRACE", "BREW"] {
            let answer = app.stranger().send(method, path, None).await;
            let detail = "method not allowed; the Allow header lists the allowed methods";
            answer.assert_error(405, "method_not_allowed", detail);
            let mut methods: Vec<&str> = answer.headers["allow"].to_str().unwrap().split(',').map(str::trim).collect();
            methods.sort_unstable();
            assert_eq!(methods.join(" "), allowed, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn an_answer_to_head_has_no_body() {
    let app = TestApp::with(Engine::Sqlite, &[]).await;
    for (client, path, status) in [
        (app.stranger(), DEVICES, 401),
        (app.partner(), "/v1/mfa/devices/none", 404),
        (app.partner(), "/v1/mfa/devices?page[size]=0", 400),
        (app.partner(), DEVICES, 200),
    ] {
        let answer = client.send("HEAD", path, None).await;
        answer.assert_status(status);
        assert!(answer.body.is_empty(), "{path}");
    }
}

#[tokio::test]
async fn a_body_above_the_size_limit_is_413() {
    let app = TestApp::with(Engine::Sqlite, &[("REQUEST_BODY_LIMIT_BYTES", "2048")]).await;
    let number = "/v1/persons/ada/mobile_number";
    let new_device = json!({"person_id": "ada", "key_type": "ecdsa-p256", "key": Phone::new(1).key()}).to_string();
    let form = "grant_type=client_credentials&client_id=sandbox&client_secret=sandbox";
    for (method, path, body, good) in [
        ("POST", number, format!(r#"{{"number":"{NUMBER}","verified":true}}"#), 201),
        ("POST", DEVICES, new_device, 202),
        ("POST", "/oauth2/token", form.to_owned(), 200),
        ("DELETE", number, format!(r#"{{"number":"{NUMBER}"}}"#), 200),
    ] {
        let padding = if path == "/oauth2/token" { "&" } else { " " };
        for (length, status) in [(2049, 413), (4096, 413), (2048, good)] {
            let body = format!("{body}{}", padding.repeat(length - body.len()));
            let answer = send(&app, method, path, None, body.into()).await;
            if status == 413 {
                answer.assert_error(413, "payload_too_large", "the body is too large");
            }
            assert_eq!(answer.status, status, "{method} {path} with {length} bytes");
        }
    }
}

#[tokio::test]
async fn a_body_without_a_media_type_is_json_and_another_type_is_415() {
    let app = TestApp::with(Engine::Sqlite, &[]).await;
    for content_type in [
        None,
        Some("application/json"),
        Some("application/json; charset=utf-8"),
        Some("Application/JSON"),
        Some("application/json ;x=y"),
        Some("application/vnd.api+json"),
    ] {
        let answer = send(&app, "POST", DEVICES, content_type, "{}".into()).await;
        assert_eq!(answer.status, 400, "{content_type:?} is parsed as an empty object");
        assert_eq!(answer.json()["errors"][0]["source"]["field"], "person_id");
    }
    let detail = "send the body as application/json";
    for content_type in [
        "",
        "text/plain",
        "text/json",
        "application/jsonp",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json-seq",
        "text/plain;application/json",
    ] {
        let answer = send(&app, "POST", DEVICES, Some(content_type), "{}".into()).await;
        answer.assert_error(415, "unsupported_media_type", detail);
    }
    let request = Request::post(DEVICES).header("content-type", &b"application/json\xff"[..]);
    let answer = app.partner().request(request.body(Body::from("{}")).unwrap()).await;
    answer.assert_error(415, "unsupported_media_type", detail);
}

#[tokio::test]
async fn a_body_that_is_not_a_json_object_is_one_error() {
    let app = TestApp::with(Engine::Sqlite, &[]).await;
    for (body, detail) in [
        ("", "the body is not valid JSON (line 1, column 0)"),
        ("{", "the body is not valid JSON (line 1, column 1)"),
        ("{\"a\": 1,\n}", "the body is not valid JSON (line 2, column 1)"),
        ("{} {}", "the body is not valid JSON (line 1, column 4)"),
        ("{\"person_id\": \"\\ud800\"}", "the body is not valid JSON (line 1, column 22)"),
        ("null", "the body must be a JSON object"),
        ("[{}]", "the body must be a JSON object"),
        ("\"{}\"", "the body must be a JSON object"),
    ] {
        let answer = send(&app, "POST", DEVICES, None, body.into()).await;
        answer.assert_error(400, "invalid_json", detail);
        assert_eq!(answer.json()["errors"][0].get("source"), None, "{body:?}");
    }
}

#[tokio::test]
async fn a_valid_request_id_is_echoed_and_another_is_replaced() {
    let app = TestApp::with(Engine::Sqlite, &[]).await;
    let longest = "x".repeat(128);
    for id in ["1", "f5ac0b0f-9a4f-4cb5-9d49-61d3b0ee8a3e", "a.b_c:d/e+f=", &longest] {
        for path in ["/healthz", DEVICES, "/nowhere"] {
            assert_eq!(with_request_id(&app, path, id.as_bytes()).await, id, "{path}");
        }
    }
    let too_long = "x".repeat(129);
    let mut minted = Vec::new();
    for id in
        [b"".as_slice(), b" ", b"a b", b"a\tb", b"{}", b"a\"b", b"a;b=c", b"\xc3\xa4", b"\xff", too_long.as_bytes()]
    {
        for path in ["/healthz", DEVICES, "/nowhere"] {
            let given = with_request_id(&app, path, id).await;
            uuid::Uuid::try_parse(&given).unwrap_or_else(|_| panic!("{given:?} is not a UUID"));
            minted.push(given);
        }
    }
    minted.sort_unstable();
    minted.dedup();
    assert_eq!(minted.len(), 30, "each request has its own id");
}

#[tokio::test]
async fn every_answer_forbids_caching_and_content_sniffing() {
    let app = TestApp::with(Engine::Sqlite, &[]).await;
    for path in ["/healthz", DEVICES, "/nowhere", "/docs"] {
        for client in [app.partner(), app.stranger()] {
            let answer = client.get(path).await;
            assert_eq!(answer.headers["cache-control"], "no-store", "{path}");
            assert_eq!(answer.headers["x-content-type-options"], "nosniff", "{path}");
        }
    }
}

async fn send(app: &TestApp, method: &str, path: &str, content_type: Option<&str>, body: Body) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(content_type) = content_type {
        request = request.header("content-type", content_type);
    }
    let client = if path.starts_with("/oauth") { app.stranger() } else { app.partner() };
    client.request(request.body(body).unwrap()).await
}

/// The request id of the answer. The contract check of every answer compares it with the id in an error.
async fn with_request_id(app: &TestApp, path: &str, id: &[u8]) -> String {
    let request = Request::get(path).header("x-request-id", id).body(Body::empty()).unwrap();
    app.stranger().request(request).await.headers["x-request-id"].to_str().unwrap().to_owned()
}
