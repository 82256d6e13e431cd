//! One run of a use case for a new person, with at most one fault.

use std::cell::Cell;

use serde_json::{Value, json};

use super::faults::Fault;
use crate::harness::fault::Moment;
use crate::harness::sql::texts;
use crate::harness::{Answer, Bound, DEVICE_CHALLENGES, NUMBER, OpenChallenge, Phone, TestApp, TestClient};

pub(super) struct Run<'a> {
    pub(super) app: &'a TestApp,
    /// A client of a replica without the fault.
    pub(super) acme: TestClient,
    /// A client of the replica with the fault.
    pub(super) shaky: TestClient,
    pub(super) fault: &'a Fault,
    pub(super) moment: Moment,
    /// The number of steps that succeed before the fault.
    pub(super) passed: u16,
    /// Whether the fault occurred.
    pub(super) hit: Cell<bool>,
    /// The person of this run, used by no other run.
    pub(super) person: String,
    /// Makes the phones of this run, which differ from those of other runs.
    pub(super) seed: u32,
}

/// The outcome of a request under a fault.
pub(super) struct Outcome {
    pub(super) answer: Answer,
    /// The highest number of effects allowed: one, or two if the first attempt may have taken effect.
    pub(super) effects_max: i64,
}

impl Run<'_> {
    /// Sends a request into the fault, and once more if it got 503. `right` is the status without a fault, `again` what
    /// the retry may get instead if the first attempt has taken effect.
    pub(super) async fn send(&self, request: (&str, &str, Option<Value>), right: u16, again: &[u16]) -> Outcome {
        let (method, path, body) = request;
        let context = self.context(method, path);
        self.fault.after(self.passed, self.moment).await;
        let answer = self.shaky.send(method, path, body.clone()).await;
        self.hit.set(self.fault.end().await);
        if answer.status != 503 {
            assert_eq!(answer.status, right, "{context}");
            return Outcome { answer, effects_max: 1 };
        }
        assert!(answer.headers.contains_key("retry-after"), "{context}: 503 without Retry-After");
        let answer = self.shaky.send(method, path, body).await;
        let status = answer.status.as_u16();
        let may_have_happened = self.fault.may_take_effect(self.moment);
        assert!(status == right || (may_have_happened && again.contains(&status)), "{context}, repeated: {status}");
        Outcome { answer, effects_max: if may_have_happened { 2 } else { 1 } }
    }

    /// The request and the fault, for assertion messages.
    pub(super) fn context(&self, method: &str, path: &str) -> String {
        format!("{method} {path}, {:?} step {}", self.moment, self.passed)
    }

    pub(super) fn phone(&self) -> Phone {
        Phone::new(2 * self.seed)
    }

    pub(super) fn other_phone(&self) -> Phone {
        Phone::new(2 * self.seed + 1)
    }

    pub(super) fn number_path(&self, action: &str) -> String {
        format!("/v1/persons/{}/mobile_number{action}", self.person)
    }

    /// The person's device, bound without a fault.
    pub(super) async fn device(&self) -> Bound {
        self.acme.verified_person(&self.person).await;
        self.acme.bind(&self.person, &self.phone()).await
    }

    /// The person's challenge, and its code.
    pub(super) async fn challenge(&self) -> (Bound, String) {
        self.acme.verified_person(&self.person).await;
        let asked = self.acme.ask_for_device(&self.person, &self.phone()).await;
        (asked, self.app.outbox().last().code())
    }

    /// The person's device and a challenge of it, about an approval.
    pub(super) async fn device_challenge(&self) -> OpenChallenge {
        let device = self.device().await;
        let body = json!({"device_id": device.id, "approval": {"action": "card-limit"}});
        let opened = self.acme.post(DEVICE_CHALLENGES, body).await.assert_status(201).json();
        let text = |name: &str| opened[name].as_str().expect("a text").to_owned();
        OpenChallenge { id: text("id"), text: text("string_to_sign") }
    }

    /// The person's number, not verified yet, and the code that was sent to it.
    pub(super) async fn token(&self) -> String {
        self.acme.post(&self.number_path(""), json!({"number": NUMBER})).await.assert_status(201);
        self.acme.post(&self.number_path("/authorize"), json!({"number": NUMBER})).await.assert_status(201);
        self.app.outbox().last().code()
    }

    /// An integer column of the person's row.
    pub(super) async fn count(&self, column: &str) -> i64 {
        let query = format!("select cast({column} as text) from person where person_id = '{}'", self.person);
        self.number(&query).await
    }

    /// The number of rows that a `from` clause with conditions selects, those of the person only.
    pub(super) async fn rows(&self, from: &str) -> i64 {
        self.number(&format!("select cast(count(*) as text) from {from} person_id = '{}'", self.person)).await
    }

    async fn number(&self, query: &str) -> i64 {
        texts(self.app.database.url(), query).await[0].parse().unwrap()
    }

    /// The number of the person's unsealed audit events with this outcome.
    pub(super) async fn audited(&self, outcome: &str) -> i64 {
        self.rows(&format!("audit_pending where outcome = '{outcome}' and")).await
    }
}
