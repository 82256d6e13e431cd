//! Sequences of requests that begin at one replica and continue at another, which may be of another version.

use rand::RngExt;
use serde_json::{Value, json};

use crate::binary::under_load::acknowledged::{Acknowledged, Challenge, Device, Signed, Wrong};
use crate::binary::under_load::caller::Caller;
use crate::binary::under_load::processes::Request;
use crate::harness::{DEVICE_CHALLENGES, OpenChallenge, Phone};

/// Races for one challenge.
const RACES: usize = 4;

/// Two replicas and a new person.
struct Across<'a> {
    caller: &'a mut Caller,
    here: usize,
    there: usize,
    account: Acknowledged,
    phone: Phone,
}

/// Binds a device and answers its challenges at both replicas in turn.
pub(super) async fn check(caller: &mut Caller, here: usize, there: usize) -> Acknowledged {
    let (account, phone) = (caller.new_person(true), Phone::new(caller.unique()));
    let mut it = Across { caller, here, there, account, phone };
    it.bind().await;
    it.answer_after_wrong_signatures().await;
    it.close_by_wrong_signatures().await;
    for race in 0..RACES {
        it.answer_at_both(race % 2 == 1).await;
    }
    it.account
}

impl Across<'_> {
    /// Sends a request to one replica and repeats it at the other, which replays the stored outcome of the first.
    async fn twice(&mut self, kind: &'static str, method: &'static str, path: &str, body: Value, status: u16) -> Value {
        let request = self.caller.request(&self.account, kind, method, path.to_owned(), body);
        std::mem::swap(&mut self.here, &mut self.there);
        let first = self.caller.at(self.here, &request).await.expect("an answer");
        assert_eq!(first.status, status, "{method} {path}: {:?}", first.body);
        let second = self.caller.at(self.there, &request).await.expect("an answer");
        assert_eq!((second.status, &second.body), (first.status, &first.body), "{method} {path} at the other replica");
        assert!(second.headers.contains_key("idempotency-replayed"), "{method} {path} ran again at the other replica");
        serde_json::from_slice(&first.body).unwrap_or_default()
    }

    async fn bind(&mut self) {
        let path = format!("/v1/persons/{}/mobile_number", self.account.person);
        let number = json!({"number": self.account.number, "verified": true});
        self.twice("number", "POST", &path, number, 201).await;
        let body = json!({"person_id": self.account.person, "key_type": "ecdsa-p256", "key": self.phone.key()});
        let asked = self.twice("device", "POST", "/v1/mfa/devices", body, 202).await;
        let id = asked["id"].as_str().expect("an id").to_owned();
        let code = self.caller.gateway.code(&id).expect("an SMS was sent");
        let path = format!("/v1/mfa/challenges/signatures/{id}");
        for guess in ["one", "two"] {
            let body = json!({"signature": self.phone.sign(guess)});
            self.twice("wrong answer", "PUT", &path, body, 403).await;
        }
        let body = json!({"signature": self.phone.sign(&code)});
        self.twice("right answer", "PUT", &path, body, 204).await;
        self.account.asks += 1;
        self.account.challenges.push(Challenge { id: id.clone(), wrong: Wrong { answered: 2, unknown: 0 } });
        let device = Device { id, keys: vec![self.phone.key()], wrong: Wrong::default(), deleted: false };
        self.account.devices.push(device);
    }

    /// Opens a challenge, which both replicas show alike.
    async fn open(&mut self) -> (OpenChallenge, String) {
        let body = json!({"device_id": self.account.devices[0].id});
        let opened = self.twice("device challenge", "POST", DEVICE_CHALLENGES, body, 201).await;
        let text = |name: &str| opened[name].as_str().expect("a text").to_owned();
        let challenge = OpenChallenge { id: text("id"), text: text("string_to_sign") };
        let path = format!("{DEVICE_CHALLENGES}/{}", challenge.id);
        let mut shown = Vec::new();
        for replica in [self.here, self.there] {
            let request = Request { kind: "read", method: "GET", path: path.clone(), body: None, key: None };
            shown.push(self.caller.at(replica, &request).await.expect("an answer").assert_status(200).json());
        }
        assert_eq!(shown[0], shown[1], "{path}");
        (challenge, path)
    }

    async fn wrong_signatures(&mut self, path: &str, count: i64) -> Wrong {
        for guess in 0..count {
            let body = json!({"signature": self.phone.sign(&format!("wrong {guess}"))});
            self.twice("wrong signature", "PUT", path, body, 403).await;
        }
        Wrong { answered: count, unknown: 0 }
    }

    async fn answer_after_wrong_signatures(&mut self) {
        let (challenge, path) = self.open().await;
        let wrong = self.wrong_signatures(&path, 2).await;
        let body = json!({"signature": self.phone.sign(&challenge.text)});
        self.twice("signature", "PUT", &path, body, 204).await;
        self.account.signed.push(Signed { id: challenge.id, wrong, decision: Some("approved") });
    }

    async fn close_by_wrong_signatures(&mut self) {
        let (challenge, path) = self.open().await;
        let wrong = self.wrong_signatures(&path, 3).await;
        let body = json!({"signature": self.phone.sign(&challenge.text)});
        for replica in [self.here, self.there] {
            let request = self.caller.request(&self.account, "signature", "PUT", path.clone(), body.clone());
            self.caller.at(replica, &request).await.expect("an answer").assert_status(404);
        }
        self.account.signed.push(Signed { id: challenge.id, wrong, decision: None });
    }

    /// Sends two right answers to a challenge at the same time, one to each replica. One of them takes effect.
    async fn answer_at_both(&mut self, declines: bool) {
        let (challenge, path) = self.open().await;
        let nonce = self.caller.random.random();
        let approval = json!({"signature": self.phone.sign(&challenge.text)});
        let other = if declines {
            json!({"signature": self.phone.sign(&challenge.declining()), "decision": "declined"})
        } else {
            json!({"signature": self.phone.sign_with_nonce(&challenge.text, nonce)})
        };
        let here = self.caller.request(&self.account, "signature", "PUT", path.clone(), approval);
        let there = self.caller.request(&self.account, "signature", "PUT", path.clone(), other);
        let processes = self.caller.processes.clone();
        let answers = tokio::join!(processes.send(&here, self.here), processes.send(&there, self.there));
        let status = |answer: Option<crate::harness::Answer>| answer.expect("an answer").status.as_u16();
        let decision = match (status(answers.0), status(answers.1)) {
            (404, 204) if declines => "declined",
            (204, 404) | (404, 204) => "approved",
            statuses => panic!("{path}: two right answers got {statuses:?}"),
        };
        let signed = Signed { id: challenge.id, wrong: Wrong::default(), decision: Some(decision) };
        self.account.signed.push(signed);
    }
}
