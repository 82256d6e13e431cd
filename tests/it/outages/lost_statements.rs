//! Each statement of each use case loses its connection once: before it took effect, and after. The answer is the right
//! one or 503; the same request repeated ends where it should; the books balance and nothing counts twice.

use serde_json::{Value, json};

use crate::harness::broken_wire::{BrokenWire, Moment};
use crate::harness::sql::texts;
use crate::harness::{Answer, Bound, Engine, NUMBER, Phone, TestApp, TestClient, books};

/// More round trips than any use case takes.
const ROUND_TRIPS_MAX: usize = 20;

/// One run of a use case, with one fault at most.
pub(super) struct Run<'a> {
    pub(super) app: &'a TestApp,
    /// Speaks to the service past the fault.
    pub(super) acme: TestClient,
    /// Speaks to a replica whose wire breaks.
    shaky: TestClient,
    wire: &'a BrokenWire,
    moment: Moment,
    passed: usize,
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

/// Runs a use case until a run meets no fault any more, because all its round trips have had theirs.
pub(super) async fn at_every_statement(test: &str, use_case: impl AsyncFn(&Run)) {
    if !Engine::Postgres.is_there_for(test).await {
        return;
    }
    let app = TestApp::with(Engine::Postgres, &[]).await;
    let wire = BrokenWire::to(app.database.url()).await;
    let router = app.replica(&[("DATABASE_URL", wire.url()), ("DATABASE_MAX_CONNECTIONS", "1")]).await;
    for moment in [Moment::Before, Moment::After] {
        let mut faults = 0;
        loop {
            let seed = u32::try_from(faults).unwrap() + if moment == Moment::After { 1000 } else { 0 };
            let run = Run {
                app: &app,
                acme: app.partner(),
                shaky: app.partner().through(router.clone()),
                wire: &wire,
                moment,
                passed: faults,
                person: format!("person-{seed}"),
                seed,
            };
            use_case(&run).await;
            books::assert_balanced(&app.database).await;
            if wire.mend() {
                break;
            }
            faults += 1;
            assert!(faults < ROUND_TRIPS_MAX, "the use case has no end");
        }
        assert!(faults > 0, "the wire never broke");
    }
}

impl Run<'_> {
    /// Sends a request over the wire that breaks, and once more when it was answered 503. `right` is what it gets when
    /// nothing goes wrong, `again` what a repeat may get as well when the first one has taken effect.
    pub(super) async fn send(&self, request: (&str, &str, Option<Value>), right: u16, again: &[u16]) -> Outcome {
        let (method, path, body) = request;
        let what = format!("{method} {path}, broken {:?} round trip {}", self.moment, self.passed);
        self.wire.break_after(self.passed, self.moment);
        let answer = self.shaky.send(method, path, body.clone()).await;
        if answer.status != 503 {
            assert_eq!(answer.status, right, "{what}");
            return Outcome { answer, effects_max: 1 };
        }
        assert!(answer.headers.contains_key("retry-after"), "{what}: 503 without Retry-After");
        let answer = self.shaky.send(method, path, body).await;
        let status = answer.status.as_u16();
        let may_have_happened = self.moment == Moment::After;
        assert!(status == right || (may_have_happened && again.contains(&status)), "{what}, repeated: {status}");
        Outcome { answer, effects_max: if may_have_happened { 2 } else { 1 } }
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
        let query = format!("select {column}::text from person where person_id = '{}'", self.person);
        texts(self.app.database.url(), &query).await[0].parse().unwrap()
    }
}
