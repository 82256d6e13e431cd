//! Race conditions: many parallel requests to two replicas. In any order, limits hold, each effect happens once,
//! nothing deadlocks, and the tables stay consistent (`harness::books`).

mod activation;
mod answers;
mod deletion;
mod device_challenges;
mod devices;
mod erasure;
mod keys;
mod messages;
mod sms_challenges;

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::Barrier;

use crate::harness::{
    Answer, Bound, DEVICE_CHALLENGES, OpenChallenge, Phone, SMS_CHALLENGES, TestApp, TestClient, books,
};

/// The number of parallel requests.
const CROWD: u32 = 200;

/// A request that is ready to be sent.
struct Request {
    method: &'static str,
    path: String,
    body: Option<Value>,
}

impl Request {
    /// Answers a challenge.
    fn answer(challenge: &Bound, signature: &str) -> Self {
        let path = format!("/v1/mfa/challenges/signatures/{}", challenge.id);
        Self { method: "PUT", path, body: Some(serde_json::json!({"signature": signature})) }
    }

    /// Answers an SMS challenge.
    fn type_code(challenge: &str, code: &str) -> Self {
        let path = format!("{SMS_CHALLENGES}/{challenge}");
        Self { method: "PUT", path, body: Some(serde_json::json!({"code": code})) }
    }

    /// Requests an SMS challenge.
    fn sms_challenge(person: &str) -> Self {
        let body = serde_json::json!({"person_id": person});
        Self { method: "POST", path: SMS_CHALLENGES.to_owned(), body: Some(body) }
    }

    /// Answers a challenge of a bound device.
    fn sign(challenge: &OpenChallenge, body: serde_json::Value) -> Self {
        Self { method: "PUT", path: format!("{DEVICE_CHALLENGES}/{}", challenge.id), body: Some(body) }
    }

    /// Requests a device.
    fn ask(person: &str, phone: &Phone) -> Self {
        let body = serde_json::json!({"person_id": person, "key_type": "ecdsa-p256", "key": phone.key()});
        Self { method: "POST", path: "/v1/mfa/devices".to_owned(), body: Some(body) }
    }

    /// Adds a key to a device, signed by the key of `signer`.
    fn add_key(device: &Bound, signer: &Phone, key: &Phone) -> Self {
        let path = format!("/v1/mfa/devices/{}/keys", device.id);
        Self { method: "POST", path, body: Some(signer.vouch_for(key)) }
    }

    fn delete(device: &Bound) -> Self {
        Self { method: "DELETE", path: format!("/v1/mfa/devices/{}", device.id), body: None }
    }

    async fn send(self, client: TestClient) -> Answer {
        client.send(self.method, &self.path, self.body).await
    }
}

/// A partner whose requests alternate between two replicas.
struct Crowd {
    app: TestApp,
    replicas: [TestClient; 2],
}

impl Crowd {
    async fn new(app: TestApp) -> Self {
        Self::with(app, &[]).await
    }

    /// The second replica gets `settings`, which should be those of the app.
    async fn with(app: TestApp, settings: &[(&str, &str)]) -> Self {
        let here = app.partner();
        let there = here.through(app.replica(settings).await);
        Self { app, replicas: [here, there] }
    }

    fn partner(&self) -> &TestClient {
        &self.replicas[0]
    }

    /// Requests a device. Returns its challenge and the right signature.
    async fn challenge(&self, person: &str, phone: &Phone) -> (Bound, String) {
        let asked = self.partner().ask_for_device(person, phone).await;
        let signature = phone.sign(&self.app.outbox().last().code());
        (asked, signature)
    }

    /// Sends all requests in parallel, alternating between the replicas. Returns the statuses in the order of the
    /// requests, and asserts that the tables are consistent.
    async fn send(&self, requests: Vec<Request>) -> Vec<u16> {
        let start = Arc::new(Barrier::new(requests.len()));
        let replicas = self.replicas.iter().cycle();
        let tasks: Vec<_> = requests
            .into_iter()
            .zip(replicas.cloned())
            .map(|(request, replica)| {
                let start = start.clone();
                tokio::spawn(async move {
                    start.wait().await;
                    request.send(replica).await.status.as_u16()
                })
            })
            .collect();
        let mut statuses = Vec::with_capacity(tasks.len());
        for task in tasks {
            statuses.push(task.await.expect("every answer fits openapi.yaml"));
        }
        books::assert_balanced(&self.app.database).await;
        statuses
    }
}

/// The number of answers with this status.
fn count(statuses: &[u16], status: u16) -> u32 {
    statuses.iter().map(|it| u32::from(*it == status)).sum()
}
