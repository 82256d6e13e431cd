//! A partner's back end that calls the real executable. A router that forwards requests takes the service's place, so
//! that these answers are checked against `openapi.yaml` as well.

use device_management::outbound;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use axum::response::Response;
use serde_json::json;

use super::{Outbox, Service, TestClient};

impl Service {
    /// A caller without a token.
    pub(crate) fn stranger(&self) -> TestClient {
        self.with_token(None)
    }

    /// A caller with this token.
    pub(crate) fn with_token(&self, token: Option<&str>) -> TestClient {
        let router = self.forwarder();
        TestClient { router, outbox: Arc::new(Outbox::default()), token: token.map(str::to_owned) }
    }

    /// A client with an access token for these credentials.
    pub(crate) async fn client(&self, id: &str, secret: &str) -> TestClient {
        let body = json!({"grant_type": "client_credentials", "client_id": id, "client_secret": secret});
        let answer = self.stranger().post("/oauth/token", body).await;
        answer.assert_status(200);
        self.with_token(answer.json()["access_token"].as_str())
    }

    /// A router that forwards requests to the executable.
    pub(crate) fn forwarder(&self) -> Router {
        forward_to(self.base_url())
    }

    /// The answer of the metrics listener.
    pub(crate) async fn metrics(&self) -> String {
        let client = outbound::client().expect("a client can be made");
        let answer = client.get(self.metrics_url()).send().await.expect("the metrics listener answers");
        answer.text().await.expect("the metrics are text")
    }

    /// The client of the sandbox.
    pub(crate) async fn sandbox_client(&self) -> TestClient {
        self.client("sandbox", "sandbox").await
    }
}

fn forward_to(base_url: String) -> Router {
    let http = reqwest::Client::builder().no_proxy().build().expect("a client can be made");
    Router::new().fallback(async move |request: Request<Body>| {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, usize::MAX).await.expect("a request in memory is complete");
        let url = format!("{base_url}{}", parts.uri);
        let answer = http.request(parts.method, url).headers(parts.headers).body(body).send().await;
        let answer = answer.unwrap_or_else(|error| panic!("no answer: {error}"));
        let mut response = Response::builder().status(answer.status());
        response.headers_mut().expect("a status is valid").extend(answer.headers().clone());
        let body = answer.bytes().await.expect("the answer is complete");
        response.body(Body::from(body)).expect("a received answer is valid")
    })
}

impl TestClient {
    /// The token, for another replica.
    pub(crate) fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }
}
