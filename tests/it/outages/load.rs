//! A load of mixed requests that continues through an outage: each request is retried until it gets another answer than
//! 503.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use device_management::domain::clients::Permissions;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::results::{Bound, Results};
use super::{PATIENCE, SLACK, STORE_DEADLINE};
use crate::harness::{Answer, DEVICE_CHALLENGES, NUMBER, Phone, TestApp, TestClient};

/// Concurrent clients.
const WORKERS: u32 = 4;

/// The code of every challenge, so that workers need not find their own SMS.
const CODE: &str = "212212";

/// The running load, and the results of its answers.
pub(crate) struct Load {
    pub(crate) app: Arc<TestApp>,
    results: watch::Receiver<Results>,
    stop: Arc<AtomicBool>,
    workers: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts the load of one partner.
    pub(crate) fn of(app: Arc<TestApp>, partner: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (report, results) = watch::channel(Results::default());
        let report = Arc::new(report);
        let workers = (0..WORKERS)
            .map(|number| {
                let worker = Worker { number, client: app.client(partner, Permissions::all()), report: report.clone() };
                let stop = stop.clone();
                tokio::spawn(async move {
                    let mut round = 0;
                    while !stop.load(Ordering::Relaxed) {
                        worker.round(round).await;
                        round += 1;
                    }
                })
            })
            .collect();
        Self { app, results, stop, workers }
    }

    /// Waits for this many more completed rounds, and returns how long that took.
    pub(crate) async fn rounds(&self, more: usize) -> Duration {
        let goal = self.results.borrow().rounds + more;
        self.wait_for(|results| results.rounds >= goal).await
    }

    /// Waits for this many more 503s.
    pub(crate) async fn refusals(&self, more: usize) -> Duration {
        let goal = self.results.borrow().refusals + more;
        self.wait_for(|results| results.refusals >= goal).await
    }

    /// The number of 503s so far.
    pub(crate) fn refused(&self) -> usize {
        self.results.borrow().refusals
    }

    /// Waits until the readiness check of the store succeeds.
    pub(super) async fn readiness(&self) {
        let ready = async { while self.app.store().ready().await.is_err() {} };
        tokio::time::timeout(PATIENCE, ready).await.expect("the store is ready within PATIENCE");
    }

    async fn wait_for(&self, reached: impl FnMut(&Results) -> bool) -> Duration {
        let started = Instant::now();
        let mut results = self.results.clone();
        let outcome = tokio::time::timeout(PATIENCE, results.wait_for(reached)).await;
        outcome.expect("the results reaches the goal within PATIENCE").expect("no worker stops");
        started.elapsed()
    }

    /// Ends the load, and compares the acknowledged changes with the database. Returns the number of 503s and the
    /// highest latency.
    pub(crate) async fn end(self) -> (usize, Duration) {
        self.stop.store(true, Ordering::Relaxed);
        for worker in self.workers {
            worker.await.expect("every answer is right");
        }
        let results = self.results.borrow();
        let (refusals, slowest) = (results.refusals, results.slowest);
        assert!(slowest <= STORE_DEADLINE + SLACK, "a request took {slowest:?}");
        assert!(results.bound.len() > results.deleted.len() && !results.deleted.is_empty());
        results.assert_kept(&self.app.database).await;
        (refusals, slowest)
    }
}

struct Worker {
    number: u32,
    client: TestClient,
    report: Arc<watch::Sender<Results>>,
}

/// The final answer, and the number of 503s before it.
struct Outcome {
    answer: Answer,
    refusals: i64,
}

impl Outcome {
    fn status(&self) -> u16 {
        self.answer.status.as_u16()
    }
}

impl Worker {
    /// A new person binds a device after one wrong answer, reads it and logs in with it; in every second round the device
    /// is then deleted.
    async fn round(&self, round: u32) {
        let person = format!("person-{}-{round}", self.number);
        let number = json!({"number": NUMBER, "verified": true});
        self.until_answered("POST", &format!("/v1/persons/{person}/mobile_number"), Some(number), &[201], &[409]).await;
        let id = self.bind(&person, &Phone::new(self.number * 1_000_000 + round)).await;

        let list = format!("/v1/mfa/devices?person_id={person}");
        let device = format!("/v1/mfa/devices/{id}");
        self.until_answered("GET", &device, None, &[200], &[]).await;
        let devices = self.until_answered("GET", &list, None, &[200], &[]).await.answer.json();
        assert_eq!((devices.as_array().map(Vec::len), devices[0]["id"].as_str()), (Some(1), Some(&*id)));
        self.log_in(&id, &Phone::new(self.number * 1_000_000 + round)).await;
        if round % 2 == 1 {
            let deletion = self.until_answered("DELETE", &device, None, &[204], &[404]).await;
            if deletion.status() == 204 {
                self.report.send_modify(|results| results.deleted.push(id));
            }
            let devices = self.until_answered("GET", &list, None, &[200], &[]).await.answer.json();
            assert_eq!(devices, json!([]));
        }
        self.report.send_modify(|results| results.rounds += 1);
    }

    /// Requests devices until one is bound.
    async fn bind(&self, person: &str, phone: &Phone) -> String {
        let mut may_be_superseded = false;
        loop {
            let body = json!({"person_id": person, "key_type": "ecdsa-p256", "key": phone.key()});
            let asked = self.until_answered("POST", "/v1/mfa/devices", Some(body), &[202], &[]).await;
            may_be_superseded |= asked.refusals > 0;
            // A request that got 503 may take effect later and supersede the challenge of one that got 202.
            let superseded: &[u16] = if may_be_superseded { &[404] } else { &[] };
            let id = asked.answer.json()["id"].as_str().expect("an id").to_owned();
            let challenge = format!("/v1/mfa/challenges/signatures/{id}");

            let wrong = self.send("PUT", &challenge, Some(json!({"signature": phone.sign("wrong")}))).await;
            let (wrong, uncertain) = match wrong.status.as_u16() {
                403 => (1, 0),
                503 => (0, 1),
                status => {
                    assert!(superseded.contains(&status), "a wrong answer got {status}");
                    continue;
                }
            };
            let right = json!({"signature": phone.sign(CODE)});
            let right = self.until_answered("PUT", &challenge, Some(right), &[&[204], superseded].concat(), &[]).await;
            if right.status() == 204 {
                let bound = Bound { id: id.clone(), wrong, uncertain, may_be_superseded };
                self.report.send_modify(|results| results.bound.push(bound));
                return id;
            }
        }
    }

    /// Opens challenges of the device until one is answered, after one wrong signature.
    async fn log_in(&self, device: &str, phone: &Phone) {
        loop {
            let body = json!({"device_id": device});
            let opened = self.until_answered("POST", DEVICE_CHALLENGES, Some(body), &[201], &[]).await.answer.json();
            let text = |name: &str| opened[name].as_str().expect("a text").to_owned();
            let path = format!("{DEVICE_CHALLENGES}/{}", text("id"));
            let wrong = self.send("PUT", &path, Some(json!({"signature": phone.sign("wrong")}))).await;
            assert!(matches!(wrong.status.as_u16(), 403 | 404 | 503), "a wrong signature got {}", wrong.status);
            // A crash may lose a challenge that was opened and not answered. `assert_kept` checks that it is lost.
            let right = json!({"signature": phone.sign(&text("string_to_sign"))});
            let right = self.until_answered("PUT", &path, Some(right), &[204, 404], &[]).await;
            if right.status() == 204 {
                self.report.send_modify(|results| results.answered.push(text("id")));
                return;
            }
            self.report.send_modify(|results| results.lost.push(text("id")));
        }
    }

    /// Retries a request until it gets another answer than 503: one of `expected`, or one of `repeated` if an earlier
    /// attempt may have taken effect.
    async fn until_answered(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
        expected: &[u16],
        repeated: &[u16],
    ) -> Outcome {
        let started = Instant::now();
        let mut refusals = 0;
        loop {
            let answer = self.send(method, path, body.clone()).await;
            let status = answer.status.as_u16();
            if status != 503 {
                let right = expected.contains(&status) || (refusals > 0 && repeated.contains(&status));
                assert!(right, "{method} {path}: {status} after {refusals} times 503");
                return Outcome { answer, refusals };
            }
            refusals += 1;
            assert!(started.elapsed() < PATIENCE, "{method} {path}: nothing but 503");
            tokio::task::yield_now().await;
        }
    }

    /// Sends one request and records its latency.
    async fn send(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let started = Instant::now();
        let answer = self.client.send(method, path, body).await;
        let took = started.elapsed();
        let refused = answer.status == 503;
        assert!(!refused || answer.headers.contains_key("retry-after"), "{method} {path}: 503 without Retry-After");
        self.report.send_modify(|results| {
            results.slowest = results.slowest.max(took);
            results.refusals += usize::from(refused);
        });
        answer
    }
}
