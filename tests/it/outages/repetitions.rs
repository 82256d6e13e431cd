//! Requests with an `Idempotency-Key`, with a fault at each of their steps once: whatever was lost, the same request under
//! the same key ends with the one right answer, as if nothing had happened. One effect, one event, never a second SMS.

use serde_json::{Value, json};

use super::LEASE;
use super::faults::at_every_step;
use super::run::Run;
use crate::harness::{Answer, NUMBER};
use crate::idempotency::send;

at_every_step! {
    changes: [
        a_device_is_asked_for_once,
        a_challenge_is_met_once,
        a_wrong_signature_counts_once,
        a_key_is_added_once,
        a_number_is_given_once,
        a_code_is_sent_once,
        a_number_is_confirmed_once,
        a_wrong_token_counts_once,
        a_refusal_is_told_as_often_as_it_was_made,
    ],
    reads: [],
}

/// What was answered at last, and the SMS that went out meanwhile.
struct Told {
    answer: Answer,
    messages: usize,
}

impl Run<'_> {
    /// Makes a change: whatever is lost, it is answered like the first time for good.
    async fn insist(&self, method: &str, path: &str, body: Value, right: u16) -> Told {
        let before = self.app.outbox().messages().len();
        let answer = self.answer(method, path, &body, right).await;
        let again = self.until_told(method, path, &body).await;
        let what = self.what(method, path);
        assert_eq!((again.status, &again.body), (answer.status, &answer.body), "{what}");
        assert_eq!(again.headers["idempotency-replayed"], "true", "{what}");
        Told { answer, messages: self.app.outbox().messages().len() - before }
    }

    /// Sends a request into the fault, and again under the same key (the person's id will do: no other run has it) until it
    /// is answered.
    async fn answer(&self, method: &str, path: &str, body: &Value, right: u16) -> Answer {
        self.fault.after(self.passed, self.moment).await;
        let first = send(&self.shaky, &self.person, method, path, body).await;
        self.met.set(self.fault.is_over().await);
        let answer = if first.status == 503 { self.until_told(method, path, body).await } else { first };
        assert_eq!(answer.status, right, "{}", self.what(method, path));
        answer
    }

    /// Nobody knows whether a request runs that nobody hears of: then it is waited for, but not for ever.
    async fn until_told(&self, method: &str, path: &str, body: &Value) -> Answer {
        let answer = send(&self.shaky, &self.person, method, path, body).await;
        if answer.status != 409 {
            return answer;
        }
        assert!(answer.headers.contains_key("retry-after"), "{}", self.what(method, path));
        self.app.advance(LEASE);
        send(&self.shaky, &self.person, method, path, body).await
    }
}

impl Told {
    /// Was the SMS sent? Not when the answer comes from a run that was lost between its commit and its SMS.
    fn assert_sent(&self) -> bool {
        let replayed = self.answer.headers.contains_key("idempotency-replayed");
        assert!(self.messages == 1 || (self.messages == 0 && replayed), "{} messages", self.messages);
        self.messages == 1
    }
}

async fn a_device_is_asked_for_once(run: &Run<'_>) {
    run.acme.verified_person(&run.person).await;
    let body = json!({"person_id": run.person, "key_type": "ecdsa-p256", "key": run.phone().key()});
    let told = run.insist("POST", "/v1/mfa/devices", body, 202).await;
    // The number and the challenge.
    assert_eq!(run.told("accepted").await, 2);
    let asked = told.answer.json();
    let challenge = format!("/v1/mfa/challenges/signatures/{}", asked["id"].as_str().unwrap());
    run.acme.get(&challenge).await.assert_status(200);
    if told.assert_sent() {
        let signature = run.phone().sign(&run.app.outbox().last().code());
        run.acme.put(&challenge, json!({"signature": signature})).await.assert_status(204);
    }
}

async fn a_challenge_is_met_once(run: &Run<'_>) {
    let (asked, code) = run.challenge().await;
    let path = format!("/v1/mfa/challenges/signatures/{}", asked.id);
    run.insist("PUT", &path, json!({"signature": run.phone().sign(&code)}), 204).await;
    run.acme.get(&format!("/v1/mfa/devices/{}/keys/{}", asked.id, asked.key_id)).await.assert_status(200);
    assert_eq!(run.count("bound_devices").await, 1);
}

async fn a_wrong_signature_counts_once(run: &Run<'_>) {
    let (asked, code) = run.challenge().await;
    let path = format!("/v1/mfa/challenges/signatures/{}", asked.id);
    run.insist("PUT", &path, json!({"signature": run.phone().sign("wrong")}), 403).await;
    assert_eq!((run.count("binding_wrong_signatures").await, run.count("failures").await), (1, 1));
    assert_eq!(run.told("wrong").await, 1);
    run.acme.answer(&asked.id, &run.phone().sign(&code)).await.assert_status(204);
}

async fn a_key_is_added_once(run: &Run<'_>) {
    let path = format!("/v1/mfa/devices/{}/keys", run.device().await.id);
    run.insist("POST", &path, run.phone().vouch_for(&run.other_phone()), 201).await;
    let keys = run.acme.get(&path).await.json()[0]["keys"].clone();
    assert_eq!(keys.as_array().map(Vec::len), Some(2));
}

async fn a_number_is_given_once(run: &Run<'_>) {
    let given = run.insist("POST", &run.number_path(""), json!({"number": NUMBER}), 201).await.answer.json();
    assert_eq!(run.acme.get(&run.number_path("")).await.json(), given);
}

async fn a_code_is_sent_once(run: &Run<'_>) {
    run.acme.post(&run.number_path(""), json!({"number": NUMBER})).await.assert_status(201);
    let told = run.insist("POST", &run.number_path("/authorize"), json!({"number": NUMBER}), 201).await;
    // The number and its code.
    assert_eq!(run.told("accepted").await, 2);
    if told.assert_sent() {
        let token = json!({"number": NUMBER, "token": run.app.outbox().last().code()});
        run.acme.post(&run.number_path("/confirm"), token).await.assert_status(201);
    }
}

async fn a_number_is_confirmed_once(run: &Run<'_>) {
    let token = json!({"number": NUMBER, "token": run.token().await});
    run.insist("POST", &run.number_path("/confirm"), token, 201).await;
    assert_eq!(run.acme.get(&run.number_path("")).await.json()["verified"], json!(true));
    // The number, its code, its confirmation.
    assert_eq!(run.told("accepted").await, 3);
}

async fn a_wrong_token_counts_once(run: &Run<'_>) {
    let token = run.token().await;
    let wrong = if token == "000000" { "000001" } else { "000000" };
    let path = run.number_path("/confirm");
    run.insist("POST", &path, json!({"number": NUMBER, "token": wrong}), 403).await;
    assert_eq!((run.count("failures").await, run.told("wrong").await), (1, 1));
    run.acme.post(&path, json!({"number": NUMBER, "token": token})).await.assert_status(201);
}

/// A refusal that changed nothing is not kept: each run anew leaves an event.
async fn a_refusal_is_told_as_often_as_it_was_made(run: &Run<'_>) {
    let body = json!({"person_id": run.person, "key_type": "ecdsa-p256", "key": run.phone().key()});
    run.answer("POST", "/v1/mfa/devices", &body, 400).await;
    let again = run.until_told("POST", "/v1/mfa/devices", &body).await;
    assert_eq!(again.assert_status(400).headers.get("idempotency-replayed"), None);
    let told = run.told("no_verified_number").await;
    let told_max = if run.met.get() { 3 } else { 2 };
    assert!((2..=told_max).contains(&told), "told {told} times");
}
