//! One run of a use case, about a person of its own, with one fault at most.

use std::cell::Cell;

use serde_json::{Value, json};

use super::faults::Fault;
use crate::harness::fault::Moment;
use crate::harness::sql::texts;
use crate::harness::{Answer, Bound, NUMBER, Phone, TestApp, TestClient};

pub(super) struct Run<'a> {
    pub(super) app: &'a TestApp,
    /// Speaks to the service past the fault.
    pub(super) acme: TestClient,
    /// Speaks to a replica that meets the fault.
    pub(super) shaky: TestClient,
    pub(super) fault: &'a Fault,
    pub(super) moment: Moment,
    /// How many steps go well before the fault.
    pub(super) passed: u16,
    /// Whether there was a step to go wrong.
    pub(super) met: Cell<bool>,
    /// Who this run is about: nobody that another run knows.
    pub(super) person: String,
    /// So that phones differ between runs as well.
    pub(super) seed: u32,
}

/// What came of a request under a fault.
pub(super) struct Outcome {
    pub(super) answer: Answer,
    /// How often the effect may be there: once, or once more for an answer that was lost.
    pub(super) effects_max: i64,
}

impl Run<'_> {
    /// Sends a request into the fault, and once more when it was answered 503. `right` is what it gets when nothing goes
    /// wrong, `again` what a repeat may get as well when the first one has taken effect.
    pub(super) async fn send(&self, request: (&str, &str, Option<Value>), right: u16, again: &[u16]) -> Outcome {
        let (method, path, body) = request;
        let what = self.what(method, path);
        self.fault.after(self.passed, self.moment).await;
        let answer = self.shaky.send(method, path, body.clone()).await;
        self.met.set(self.fault.is_over().await);
        if answer.status != 503 {
            assert_eq!(answer.status, right, "{what}");
            return Outcome { answer, effects_max: 1 };
        }
        assert!(answer.headers.contains_key("retry-after"), "{what}: 503 without Retry-After");
        let answer = self.shaky.send(method, path, body).await;
        let status = answer.status.as_u16();
        let may_have_happened = self.fault.may_take_effect(self.moment);
        assert!(status == right || (may_have_happened && again.contains(&status)), "{what}, repeated: {status}");
        Outcome { answer, effects_max: if may_have_happened { 2 } else { 1 } }
    }

    /// For whoever reads that a run has failed.
    pub(super) fn what(&self, method: &str, path: &str) -> String {
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

    /// The person's number, not verified yet, and the code that was sent to it.
    pub(super) async fn token(&self) -> String {
        self.acme.post(&self.number_path(""), json!({"number": NUMBER})).await.assert_status(201);
        self.acme.post(&self.number_path("/authorize"), json!({"number": NUMBER})).await.assert_status(201);
        self.app.outbox().last().code()
    }

    /// A number in the person's row.
    pub(super) async fn count(&self, column: &str) -> i64 {
        let query = format!("select cast({column} as text) from person where person_id = '{}'", self.person);
        texts(self.app.database.url(), &query).await[0].parse().unwrap()
    }

    /// How many events of this outcome tell of the person.
    pub(super) async fn told(&self, outcome: &str) -> i64 {
        let query = format!(
            "select cast(count(*) as text) from audit_pending where person_id = '{}' and outcome = '{outcome}'",
            self.person
        );
        texts(self.app.database.url(), &query).await[0].parse().unwrap()
    }
}
