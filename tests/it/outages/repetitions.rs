//! Requests with an `Idempotency-Key`, with one fault at each of their steps: the same request under the same key gets
//! the same answer as without the fault. One effect, one audit event, never a second SMS.

use serde_json::{Value, json};

use super::LEASE;
use super::faults::at_every_step;
use super::run::Run;
use crate::activation_codes::{activation_code, activation_wish, ask_by_letter};
use crate::harness::{ACTIVATION_CODES, Answer, DEVICE_CHALLENGES, NUMBER, SMS_CHALLENGES};
use crate::idempotency::send;

at_every_step! {
    changes: [
        a_device_is_asked_for_once,
        a_challenge_is_answered_once,
        a_wrong_signature_counts_once,
        a_key_is_added_once,
        a_number_is_given_once,
        a_code_is_sent_once,
        a_number_is_confirmed_once,
        a_wrong_code_counts_once,
        an_sms_challenge_is_requested_once,
        an_sms_challenge_is_answered_once,
        a_device_challenge_is_opened_once,
        a_device_challenge_is_approved_once,
        a_wrong_signature_for_a_device_challenge_counts_once,
        an_activation_code_is_created_once,
        an_activation_code_binds_a_device_once,
        every_repeat_of_a_refusal_writes_an_audit_event,
    ],
    reads: [],
}

/// The final answer, and the number of SMS sent until then.
struct Stored {
    answer: Answer,
    messages: usize,
}

impl Run<'_> {
    /// Makes a change, and checks that a repetition gets the stored outcome.
    async fn repeat(&self, method: &str, path: &str, body: Value, right: u16) -> Stored {
        let before = self.app.outbox().messages().len();
        let answer = self.answer(method, path, &body, right).await;
        let again = self.retry(method, path, &body).await;
        let context = self.context(method, path);
        assert_eq!((again.status, &again.body), (answer.status, &answer.body), "{context}");
        assert_eq!(again.headers["idempotency-replayed"], "true", "{context}");
        Stored { answer, messages: self.app.outbox().messages().len() - before }
    }

    /// Sends a request into the fault, and retries it under the same key until it is answered. The key is the person's
    /// id, which no other run uses.
    async fn answer(&self, method: &str, path: &str, body: &Value, right: u16) -> Answer {
        self.fault.after(self.passed, self.moment).await;
        let first = send(&self.shaky, &self.person, method, path, body).await;
        self.hit.set(self.fault.end().await);
        let answer = if first.status == 503 { self.retry(method, path, body).await } else { first };
        assert_eq!(answer.status, right, "{}", self.context(method, path));
        answer
    }

    /// Sends the request again. A lost run may hold the claim: 409 until its lease has ended.
    async fn retry(&self, method: &str, path: &str, body: &Value) -> Answer {
        let answer = send(&self.shaky, &self.person, method, path, body).await;
        if answer.status != 409 {
            return answer;
        }
        assert!(answer.headers.contains_key("retry-after"), "{}", self.context(method, path));
        self.app.advance(LEASE);
        send(&self.shaky, &self.person, method, path, body).await
    }
}

impl Stored {
    /// Whether the SMS was sent. It was not if the run was lost between its commit and its SMS.
    fn assert_sent(&self) -> bool {
        let replayed = self.answer.headers.contains_key("idempotency-replayed");
        assert!(self.messages == 1 || (self.messages == 0 && replayed), "{} messages", self.messages);
        self.messages == 1
    }
}

async fn a_device_is_asked_for_once(run: &Run<'_>) {
    run.acme.verified_person(&run.person).await;
    let body = json!({"person_id": run.person, "key_type": "ecdsa-p256", "key": run.phone().key()});
    let stored = run.repeat("POST", "/v1/mfa/devices", body, 202).await;
    // The number and the challenge.
    assert_eq!(run.audited("accepted").await, 2);
    let asked = stored.answer.json();
    let challenge = format!("/v1/mfa/challenges/signatures/{}", asked["id"].as_str().unwrap());
    run.acme.get(&challenge).await.assert_status(200);
    if stored.assert_sent() {
        let signature = run.phone().sign(&run.app.outbox().last().code());
        run.acme.put(&challenge, json!({"signature": signature})).await.assert_status(204);
    }
}

async fn a_challenge_is_answered_once(run: &Run<'_>) {
    let (asked, code) = run.challenge().await;
    let path = format!("/v1/mfa/challenges/signatures/{}", asked.id);
    run.repeat("PUT", &path, json!({"signature": run.phone().sign(&code)}), 204).await;
    run.acme.get(&format!("/v1/mfa/devices/{}/keys/{}", asked.id, asked.key_id)).await.assert_status(200);
    assert_eq!(run.count("bound_devices").await, 1);
}

async fn a_wrong_signature_counts_once(run: &Run<'_>) {
    let (asked, code) = run.challenge().await;
    let path = format!("/v1/mfa/challenges/signatures/{}", asked.id);
    run.repeat("PUT", &path, json!({"signature": run.phone().sign("wrong")}), 403).await;
    assert_eq!((run.count("binding_wrong_signatures").await, run.count("failures").await), (1, 1));
    assert_eq!(run.audited("wrong").await, 1);
    run.acme.answer(&asked.id, &run.phone().sign(&code)).await.assert_status(204);
}

async fn a_key_is_added_once(run: &Run<'_>) {
    let path = format!("/v1/mfa/devices/{}/keys", run.device().await.id);
    run.repeat("POST", &path, run.phone().vouch_for(&run.other_phone()), 201).await;
    let keys = run.acme.get(&path).await.json()[0]["keys"].clone();
    assert_eq!(keys.as_array().map(Vec::len), Some(2));
}

async fn a_number_is_given_once(run: &Run<'_>) {
    let given = run.repeat("POST", &run.number_path(""), json!({"number": NUMBER}), 201).await.answer.json();
    assert_eq!(run.acme.get(&run.number_path("")).await.json(), given);
}

async fn a_code_is_sent_once(run: &Run<'_>) {
    run.acme.post(&run.number_path(""), json!({"number": NUMBER})).await.assert_status(201);
    let stored = run.repeat("POST", &run.number_path("/authorize"), json!({"number": NUMBER}), 201).await;
    // The number and its code.
    assert_eq!(run.audited("accepted").await, 2);
    if stored.assert_sent() {
        let token = json!({"number": NUMBER, "token": run.app.outbox().last().code()});
        run.acme.post(&run.number_path("/confirm"), token).await.assert_status(201);
    }
}

async fn a_number_is_confirmed_once(run: &Run<'_>) {
    let token = json!({"number": NUMBER, "token": run.token().await});
    run.repeat("POST", &run.number_path("/confirm"), token, 201).await;
    assert_eq!(run.acme.get(&run.number_path("")).await.json()["verified"], json!(true));
    // The number, its code, its confirmation.
    assert_eq!(run.audited("accepted").await, 3);
}

async fn a_wrong_code_counts_once(run: &Run<'_>) {
    let token = run.token().await;
    let wrong = if token == "000000" { "000001" } else { "000000" };
    let path = run.number_path("/confirm");
    run.repeat("POST", &path, json!({"number": NUMBER, "token": wrong}), 403).await;
    assert_eq!((run.count("failures").await, run.audited("wrong").await), (1, 1));
    run.acme.post(&path, json!({"number": NUMBER, "token": token})).await.assert_status(201);
}

async fn an_sms_challenge_is_requested_once(run: &Run<'_>) {
    run.acme.verified_person(&run.person).await;
    let stored = run.repeat("POST", SMS_CHALLENGES, json!({"person_id": run.person}), 201).await;
    // The number and the challenge.
    assert_eq!(run.audited("accepted").await, 2);
    let id = stored.answer.json()["id"].as_str().unwrap().to_owned();
    if stored.assert_sent() {
        run.acme.type_code(&id, &run.app.outbox().last().code()).await.assert_status(204);
    }
}

async fn an_sms_challenge_is_answered_once(run: &Run<'_>) {
    run.acme.verified_person(&run.person).await;
    let challenge = run.acme.sms_challenge(&run.person).await;
    let path = format!("{SMS_CHALLENGES}/{}", challenge.id);
    run.repeat("PUT", &path, json!({"code": challenge.code}), 204).await;
    run.acme.get(&path).await.assert_status(404);
    // The number, the challenge and its answer.
    assert_eq!(run.audited("accepted").await, 3);
}

async fn a_device_challenge_is_opened_once(run: &Run<'_>) {
    let body = json!({"device_id": run.device().await.id});
    let opened = run.repeat("POST", DEVICE_CHALLENGES, body, 201).await.answer.json();
    assert_eq!(run.rows("device_challenge where").await, 1);
    let signature = run.phone().sign(opened["string_to_sign"].as_str().unwrap());
    run.acme.sign(opened["id"].as_str().unwrap(), &signature).await.assert_status(204);
}

async fn a_device_challenge_is_approved_once(run: &Run<'_>) {
    let challenge = run.device_challenge().await;
    let path = format!("{DEVICE_CHALLENGES}/{}", challenge.id);
    run.repeat("PUT", &path, json!({"signature": run.phone().sign(&challenge.text)}), 204).await;
    assert_eq!(run.rows("device_challenge where decision = 'approved' and").await, 1);
    assert_eq!(run.rows("approval_text where").await, 1);
}

async fn a_wrong_signature_for_a_device_challenge_counts_once(run: &Run<'_>) {
    let challenge = run.device_challenge().await;
    let path = format!("{DEVICE_CHALLENGES}/{}", challenge.id);
    run.repeat("PUT", &path, json!({"signature": run.phone().sign("wrong")}), 403).await;
    assert_eq!(run.rows("device where failures = 1 and").await, 1);
    assert_eq!(run.rows("device_challenge where wrong_answers = 1 and").await, 1);
    assert_eq!(run.audited("wrong").await, 1);
    run.acme.sign(&challenge.id, &run.phone().sign(&challenge.text)).await.assert_status(204);
}

async fn an_activation_code_is_created_once(run: &Run<'_>) {
    let created = run.repeat("POST", ACTIVATION_CODES, activation_wish(&run.person), 201).await.answer.json();
    assert_eq!(run.rows("activation_code where").await, 1);
    let path = format!("{ACTIVATION_CODES}/{}", created["id"].as_str().unwrap());
    assert_eq!(run.acme.get(&path).await.json(), created);
}

async fn an_activation_code_binds_a_device_once(run: &Run<'_>) {
    let letter = activation_code(&run.acme, &run.person).await;
    let id = ask_by_letter(&run.acme, &run.person, &run.phone()).await;
    let path = format!("/v1/mfa/challenges/signatures/{id}");
    run.repeat("PUT", &path, json!({"signature": run.phone().sign(&letter.code)}), 204).await;
    assert_eq!(run.acme.get(&letter.path()).await.json()["usage_count"], json!(1));
    assert_eq!(run.count("bound_devices").await, 1);
}

/// A refusal that changed nothing is not stored: each repeat runs again and leaves an event.
async fn every_repeat_of_a_refusal_writes_an_audit_event(run: &Run<'_>) {
    let body = json!({"person_id": run.person, "key_type": "ecdsa-p256", "key": run.phone().key()});
    run.answer("POST", "/v1/mfa/devices", &body, 400).await;
    let again = run.retry("POST", "/v1/mfa/devices", &body).await;
    assert_eq!(again.assert_status(400).headers.get("idempotency-replayed"), None);
    let audited = run.audited("no_verified_number").await;
    let audited_max = if run.hit.get() { 3 } else { 2 };
    assert!((2..=audited_max).contains(&audited), "{audited} audit events");
}
