//! A refusal before the body is complete reaches a client that is still sending it.

use axum::body::Body;
use axum::http::Request;

use super::sandbox_on;
use crate::harness::{Engine, Start, TestDatabase};

/// Much more than the socket buffers of both sides.
const BODY: usize = 3 * 1024 * 1024;
/// Enough repetitions to show that no TCP reset overtakes the answer.
const TIMES: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_reaches_a_client_that_is_still_sending_its_body() {
    let database = TestDatabase::start(Engine::Sqlite).await;
    let service = sandbox_on(&database).serve();
    for (client, status) in [(service.stranger(), 401), (service.sandbox_client().await, 413)] {
        for _ in 0..TIMES {
            let request = Request::post("/v1/mfa/devices").header("content-type", "application/json");
            client.request(request.body(Body::from(vec![b' '; BODY])).unwrap()).await.assert_status(status);
        }
    }
}
