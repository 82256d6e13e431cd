//! The router without a connection: takes parsed requests, returns a status and a body.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use device_management::api::{self, App};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;

use super::world;

/// The service on one thread, so that all of a request's work is counted.
pub(super) struct Edge {
    runtime: Runtime,
    router: Router,
    app: App,
    authorization: HeaderValue,
}

impl Edge {
    pub(super) fn open(app: App) -> Self {
        let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime can be started");
        let authorization = format!("Bearer {}", world::token(&app)).parse().expect("a JWT fits a header");
        Self { runtime, router: api::router(app.clone()), app, authorization }
    }

    /// A request of a client with its token.
    pub(super) fn request(&self, method: Method, path: &str) -> Sent {
        let host = HeaderValue::from_static("device-management.example");
        let headers = HeaderMap::from_iter([(AUTHORIZATION, self.authorization.clone()), (HOST, host)]);
        Sent { method, uri: path.parse().expect("a good path"), headers, body: Bytes::new() }
    }

    pub(super) fn get(&self, path: &str) -> Sent {
        self.request(Method::GET, path)
    }

    pub(super) fn post(&self, path: &str, body: &impl ToString) -> Sent {
        self.request(Method::POST, path).json(body)
    }

    pub(super) fn put(&self, path: &str, body: &impl ToString) -> Sent {
        self.request(Method::PUT, path).json(body)
    }

    pub(super) fn send(&self, sent: &Sent) -> Answer {
        let mut request = Request::new(Body::from(sent.body.clone()));
        *request.method_mut() = sent.method.clone();
        *request.uri_mut() = sent.uri.clone();
        *request.headers_mut() = sent.headers.clone();
        self.runtime.block_on(async {
            let response = self.router.clone().oneshot(request).await.expect("the router always answers");
            let (parts, body) = response.into_parts();
            Answer {
                status: parts.status,
                body: body.collect().await.expect("an answer in memory is whole").to_bytes(),
            }
        })
    }

    /// Whether the service accepts a bearer token, without a request.
    pub(super) fn lets_in(&self, token: &str) -> bool {
        self.runtime.block_on(self.app.tokens.verify(token)).is_ok()
    }
}

/// A request that can be repeated.
pub(super) struct Sent {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

impl Sent {
    pub(super) fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        self
    }

    pub(super) fn json(mut self, body: &impl ToString) -> Self {
        self.body = body.to_string().into();
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self
    }
}

/// An answer.
pub(super) struct Answer {
    status: StatusCode,
    body: Bytes,
}

impl Answer {
    /// Whether it has this status, and this text in this place of its body (RFC 6901).
    pub(super) fn says(&self, status: u16, place: &str, text: &str) -> bool {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        self.status == status && body.pointer(place).is_some_and(|value| value == text)
    }

    /// Whether it has this status and no body.
    pub(super) fn is_empty(&self, status: u16) -> bool {
        self.status == status && self.body.is_empty()
    }
}
