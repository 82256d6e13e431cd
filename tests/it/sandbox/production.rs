//! Production has none of the sandbox's tools: their routes are unknown routes.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use super::{PRODUCTION, Production};
use crate::harness::contract::CONTRACT;
use crate::harness::{TestApp, on_both_databases};

on_both_databases![every_route_of_the_sandbox_is_an_unknown_route_in_production, readiness_in_production_has_no_clock];

/// Status, headers and body of an answer.
async fn answer(router: &Router, method: &str, path: &str, token: Option<&str>) -> (StatusCode, HeaderMap, Bytes) {
    let request = Request::builder().method(method).uri(path).header("host", "device-management.example");
    let request = request.header("x-request-id", "mine");
    let request = match token {
        Some(token) => request.header("authorization", format!("Bearer {token}")),
        None => request,
    };
    let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    (parts.status, parts.headers, body.collect().await.unwrap().to_bytes())
}

async fn every_route_of_the_sandbox_is_an_unknown_route_in_production(app: TestApp) {
    let production = app.another(&PRODUCTION).await;
    assert!(production.service.sandbox.is_none());
    let router = device_management::api::router(production);
    let acme = app.partner();
    let paths = CONTRACT.operations().iter().map(|operation| &*operation.path);
    let mut paths: Vec<&str> = paths.filter(|path| path.starts_with("/sandbox")).collect();
    paths.extend(["/sandbox", "/sandbox/"]);
    assert!(paths.contains(&"/sandbox/messages") && paths.contains(&"/sandbox/clock"), "{paths:?}");
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE"] {
        for token in [None, acme.token(), Some("e30.e30.e30")] {
            let unknown = answer(&router, method, "/no/such/route", token).await;
            assert_eq!(unknown.0, StatusCode::NOT_FOUND);
            for path in &paths {
                assert_eq!(answer(&router, method, path, token).await, unknown, "{method} {path}");
            }
        }
    }
}

async fn readiness_in_production_has_no_clock(Production(app): Production) {
    let ready = app.stranger().get("/readyz").await.assert_status(200).json();
    assert_eq!(ready, serde_json::json!({"status": "ready"}));
}
