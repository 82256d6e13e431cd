//! Sends random input to the service and compares its state with that before.

use axum::body::Body;
use axum::http::Request;
use chrono::TimeDelta;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use crate::contract::calls::{Call, PERSON, Scene};
use crate::harness::{Engine, Phone, SMS_CHALLENGES, Start, TestApp, TestClient};

/// Cases of each property, on each database. The clock advances by 1 s with each, and a challenge lives for 300 s.
const CASES: u32 = 120;

/// The service with a scene, a client that sends random input, and the state of the scene at the start.
pub(super) struct Fuzzed {
    pub(super) app: TestApp,
    pub(super) client: TestClient,
    pub(super) scene: Scene,
    before: Vec<Value>,
}

impl Start for Fuzzed {
    async fn start(engine: Engine) -> Self {
        // Random signatures count as failures: these limits avoid a cool-down.
        let settings =
            [("LIMIT_FAILURES_PER_PERSON", "100"), ("FAILURE_WINDOW_SECONDS", "1"), ("COOL_DOWN_SECONDS", "1")];
        let app = TestApp::with(engine, &settings).await;
        let client = app.partner();
        let scene = Scene::set(&app, &client).await;
        client.verified_person("eve").await;
        let before = scene.state(&client).await;
        Self { app, client, scene, before }
    }
}

impl Fuzzed {
    /// Calls that cannot change the scene, unless their bodies are valid on purpose.
    pub(super) fn calls(&self) -> Vec<Call> {
        let mut calls = self.scene.calls();
        calls.retain(|call| {
            !["deleteMobileNumber", "deleteDevice", "createDevice", "createSmsChallenge", "deleteActivationCode"]
                .contains(&call.operation)
        });
        for call in &mut calls {
            // A well-formed signature would count as a failure of the challenge.
            if ["verifySignatureChallenge", "verifyDeviceChallenge"].contains(&call.operation) {
                call.body = Some(json!({"signature": "30"}));
            }
            if call.operation == "verifySmsChallenge" {
                call.body = Some(json!({"code": "1"}));
            }
            // A valid advance would expire the challenges of the scene.
            if call.operation == "advanceSandboxClock" {
                call.body = Some(json!({"advance_seconds": "1"}));
            }
            // A well-formed event would be recorded.
            if call.operation == "createDeliveryEvent" {
                call.body = Some(json!({"type": "DISPATCHED", "timestamp": "never"}));
            }
        }
        calls.push(Call {
            operation: "createDevice",
            method: "POST",
            path: "/v1/mfa/devices".into(),
            body: Some(json!({"person_id": "eve", "key_type": "ecdsa-p256", "key": Phone::new(3).key()})),
        });
        // For ada it would supersede the challenge of the scene.
        calls.push(Call {
            operation: "createSmsChallenge",
            method: "POST",
            path: SMS_CHALLENGES.into(),
            body: Some(json!({"person_id": "eve"})),
        });
        calls
    }

    /// Runs a property for random values of the strategy.
    pub(super) fn for_all<S: Strategy>(&self, strategy: &S, test: impl AsyncFn(S::Value) -> Result<(), TestCaseError>) {
        let settings = ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() };
        let runtime = Handle::current();
        let try_one = |input| {
            self.app.advance(TimeDelta::seconds(1));
            block_in_place(|| runtime.block_on(test(input)))
        };
        TestRunner::new(settings).run(strategy, try_one).unwrap_or_else(|fault| panic!("{fault}"));
    }

    pub(super) async fn send(
        &self,
        method: &str,
        path: &str,
        content_type: Option<&str>,
        body: Vec<u8>,
    ) -> Result<(), TestCaseError> {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        self.answer(request.body(Body::from(body)).expect("a request")).await
    }

    pub(super) async fn answer(&self, request: Request<Body>) -> Result<(), TestCaseError> {
        let answer = self.client.request(request).await;
        prop_assert!(answer.status.as_u16() < 500, "{}", answer.status);
        Ok(())
    }

    pub(super) async fn assert_unchanged(&self) {
        self.app.advance(TimeDelta::seconds(1));
        assert_eq!(self.scene.state(&self.client).await, self.before);
        self.client.answer(&self.scene.challenge, &self.scene.right_signature).await.assert_status(204);
        self.client.bind(PERSON, &Phone::new(5)).await;
        self.app.stranger().get("/readyz").await.assert_status(200);
    }
}
