//! The requests of a caller for one person: a number, one or two devices with wrong and right answers, bound by SMS or
//! by activation code, more keys, challenges of the devices, deletions; and a number confirmed by code, with a log-in by
//! SMS.

use rand::RngExt;
use serde_json::{Value, json};

use super::acknowledged::{Acknowledged, Challenge, Device, Letter, Signed, Wrong};
use super::caller::Caller;
use super::processes::Request;
use crate::activation_codes::{activation_wish, binding_by_letter};
use crate::harness::{ACTIVATION_CODES, DEVICE_CHALLENGES, OpenChallenge, Phone, SMS_CHALLENGES, SmsChallenge};

/// The number of wrong signatures that close a challenge.
const WRONG_MAX: i64 = 3;

/// The result of a challenge.
enum Answered {
    Bound,
    /// It was closed, or superseded, or its SMS lost.
    Over,
}

impl Caller {
    /// Runs all requests for one new person. Half of the persons use an idempotency key with each request.
    pub(super) async fn story(&mut self) -> Acknowledged {
        let uses_keys = self.random.random_bool(0.5);
        let mut account = self.new_person(uses_keys);
        let path = format!("/v1/persons/{}/mobile_number", account.person);
        let number = json!({"number": account.number, "verified": true});
        let request = self.request(&account, "number", "POST", path, number);
        self.until_answered(&request, &[201], &[409]).await;
        for _ in 0..self.random.random_range(1..=2) {
            let phone = Phone::new(self.unique());
            self.bind(&mut account, &phone).await;
            for _ in 0..self.random.random_range(0..=2) {
                self.add_key(&mut account, &phone).await;
            }
            for _ in 0..self.random.random_range(0..=3) {
                self.sign(&mut account, &phone).await;
            }
            if self.random.random_ratio(1, 3) {
                self.delete_device(&mut account).await;
            }
        }
        account
    }

    /// A person without a number.
    pub(super) fn new_person(&mut self, uses_keys: bool) -> Acknowledged {
        let unique = self.unique();
        Acknowledged {
            person: format!("person-{unique}"),
            number: format!("+491511{unique:07}"),
            uses_keys,
            asks: 0,
            challenges: Vec::new(),
            devices: Vec::new(),
            signed: Vec::new(),
            letters: Vec::new(),
        }
    }

    /// Confirms the number of a new person by code, logs the person in by SMS, and changes the number. No process may be
    /// killed meanwhile: it would not send its SMS later.
    pub(super) async fn number_story(&mut self) -> Acknowledged {
        let mut account = self.new_person(true);
        let path = format!("/v1/persons/{}/mobile_number", account.person);
        let number = json!({"number": account.number});
        let request = self.request(&account, "number", "POST", path.clone(), number.clone());
        self.until_answered(&request, &[201], &[]).await;
        let request = self.request(&account, "code for a number", "POST", format!("{path}/authorize"), number.clone());
        self.until_answered(&request, &[201], &[]).await;
        let confirmed = json!({"number": account.number, "token": self.gateway.code_to(&account.number)});
        let request = self.request(&account, "confirmation", "POST", format!("{path}/confirm"), confirmed);
        self.until_answered(&request, &[201], &[]).await;
        assert_eq!(self.read(&path).await["verified"], json!(true), "{path}");
        self.log_in_by_sms(&mut account).await;

        let request = Request { kind: "deletion", method: "DELETE", path: path.clone(), body: Some(number), key: None };
        self.until_answered(&request, &[200], &[404]).await;
        let other = format!("+491512{:07}", self.unique());
        let number = json!({"number": other, "verified": true});
        let request = self.request(&account, "number", "POST", path.clone(), number);
        self.until_answered(&request, &[201], &[]).await;
        assert_eq!(self.read(&path).await["number"], json!(other), "{path}");
        // The answers do not name the challenge of the number.
        account.asks += 2;
        account.uses_keys = false;
        account
    }

    /// Logs a person in by SMS, after up to two wrong codes.
    async fn log_in_by_sms(&mut self, account: &mut Acknowledged) {
        let body = json!({"person_id": account.person});
        let request = self.request(account, "SMS challenge", "POST", SMS_CHALLENGES.to_owned(), body);
        let opened = self.until_answered(&request, &[201], &[]).await.answer.json();
        let id = opened["id"].as_str().expect("an id").to_owned();
        let code = self.gateway.code(&id).unwrap_or_else(|| panic!("no SMS for challenge {id}"));
        let path = format!("{SMS_CHALLENGES}/{id}");
        self.read(&path).await;
        let challenge = SmsChallenge { id: id.clone(), code };
        let mut wrong = Wrong::default();
        for _ in 0..self.random.random_range(0..WRONG_MAX) {
            let body = json!({"code": challenge.wrong_code()});
            let request = self.request(account, "wrong code", "PUT", path.clone(), body);
            assert!(self.fail(&request, &mut wrong).await, "{path}: 404 after {} wrong codes", wrong.most());
        }
        account.challenges.push(Challenge { id, wrong });
        let request = self.request(account, "code", "PUT", path, json!({"code": challenge.code}));
        self.until_answered(&request, &[204], &[]).await;
    }

    async fn read(&mut self, path: &str) -> Value {
        let request = Request { kind: "read", method: "GET", path: path.to_owned(), body: None, key: None };
        self.until_answered(&request, &[200], &[]).await.answer.json()
    }

    pub(super) fn request(
        &mut self,
        account: &Acknowledged,
        kind: &'static str,
        method: &'static str,
        path: String,
        body: Value,
    ) -> Request {
        let key = account.uses_keys.then(|| format!("key-{}", self.unique()));
        Request { kind, method, path, body: Some(body), key }
    }

    /// Requests devices until one is bound.
    async fn bind(&mut self, account: &mut Acknowledged, phone: &Phone) {
        loop {
            let letter = if self.random.random_bool(0.5) { self.letter(account).await } else { None };
            let body = match &letter {
                Some(_) => binding_by_letter(&account.person, phone),
                None => json!({"person_id": account.person, "key_type": "ecdsa-p256", "key": phone.key()}),
            };
            let request = self.request(account, "device", "POST", "/v1/mfa/devices".to_owned(), body);
            let asked = self.until_answered(&request, &[202], &[]).await;
            account.asks += if account.uses_keys { 1 } else { 1 + asked.cut };
            let id = asked.answer.json()["id"].as_str().expect("an id").to_owned();
            account.challenges.push(Challenge { id: id.clone(), wrong: Wrong::default() });
            let by_letter = letter.is_some();
            let code = letter.or_else(|| self.gateway.code(&id));
            assert!(
                code.is_some() || asked.is_replayed(),
                "no SMS for challenge {id}, although its answer was not lost"
            );
            // A message that a killed process did not send is not sent later; the person requests another device.
            let Some(code) = code else { continue };
            // The statement of a killed process may still reach Postgres, and supersede this challenge.
            let may_be_superseded = !account.uses_keys && asked.cut > 0;
            if let Answered::Bound = self.answer(account, phone, &code, may_be_superseded).await {
                let device = Device { id, keys: vec![phone.key()], wrong: Wrong::default(), deleted: false };
                account.devices.push(device);
                if by_letter {
                    account.letters.last_mut().expect("it was made for this device").is_used = true;
                }
                return;
            }
        }
    }

    /// Creates an activation code. `None` if it may be superseded: a killed process may have created another one.
    async fn letter(&mut self, account: &mut Acknowledged) -> Option<String> {
        let mut body = activation_wish(&account.person);
        body["invalidate_existing_code"] = json!(true);
        let request = self.request(account, "activation code", "POST", ACTIVATION_CODES.to_owned(), body);
        let created = self.until_answered(&request, &[201], &[]).await;
        let code = created.answer.json();
        let id = code["id"].as_str().expect("an id").to_owned();
        account.letters.push(Letter { id, is_used: false });
        let is_newest = account.uses_keys || created.cut == 0;
        is_newest.then(|| code["code"].as_str().expect("a new code").to_owned())
    }

    /// Opens a challenge of the newest device and answers it, first with wrong signatures.
    async fn sign(&mut self, account: &mut Acknowledged, phone: &Phone) {
        let mut body = json!({"device_id": account.devices.last().expect("there is one").id});
        if self.random.random_bool(0.5) {
            body["approval"] = json!({"action": "card-limit"});
        }
        let request = self.request(account, "device challenge", "POST", DEVICE_CHALLENGES.to_owned(), body);
        let opened = self.until_answered(&request, &[201], &[]).await.answer.json();
        let text = |name: &str| opened[name].as_str().expect("a text").to_owned();
        let challenge = OpenChallenge { id: text("id"), text: text("string_to_sign") };
        let path = format!("{DEVICE_CHALLENGES}/{}", challenge.id);
        let mut wrong = Wrong::default();
        for guess in 0..self.random.random_range(0..=WRONG_MAX) {
            let body = json!({"signature": phone.sign(&format!("wrong {guess}"))});
            let request = self.request(account, "wrong signature", "PUT", path.clone(), body);
            assert!(self.fail(&request, &mut wrong).await, "{path}: 404 with {} wrong signatures", wrong.most());
        }

        let declined = self.random.random_ratio(1, 3);
        let (decision, signed) =
            if declined { ("declined", challenge.declining()) } else { ("approved", challenge.text.clone()) };
        let body = json!({"signature": phone.sign(&signed), "decision": decision});
        let mut right: Vec<u16> = Vec::new();
        if wrong.answered < WRONG_MAX {
            right.push(204);
        }
        if wrong.most() >= WRONG_MAX {
            right.push(404);
        }
        let request = self.request(account, "signature", "PUT", path, body);
        let status = self.until_answered(&request, &right, &[]).await.status();
        let decision = (status == 204).then_some(decision);
        account.signed.push(Signed { id: challenge.id, wrong, decision });
    }

    /// Answers the newest challenge, first with wrong signatures.
    async fn answer(
        &mut self,
        account: &mut Acknowledged,
        phone: &Phone,
        code: &str,
        may_be_superseded: bool,
    ) -> Answered {
        let id = account.challenges.last().expect("there is one").id.clone();
        let path = format!("/v1/mfa/challenges/signatures/{id}");
        let mut wrong = Wrong::default();
        for guess in 0..self.random.random_range(0..=WRONG_MAX) {
            let body = json!({"signature": phone.sign(&format!("wrong {guess}"))});
            let request = self.request(account, "wrong answer", "PUT", path.clone(), body);
            if !self.fail(&request, &mut wrong).await {
                assert!(may_be_superseded, "{path}: 404 with {} wrong answers", wrong.most());
                return Answered::Over;
            }
            account.challenges.last_mut().expect("there is one").wrong = wrong;
        }

        let mut right: Vec<u16> = Vec::new();
        if wrong.answered < WRONG_MAX {
            right.push(204);
        }
        if wrong.most() >= WRONG_MAX || may_be_superseded {
            right.push(404);
        }
        let body = json!({"signature": phone.sign(code)});
        let request = self.request(account, "right answer", "PUT", path, body);
        if !account.uses_keys && self.random.random_bool(0.5) {
            return self.answer_with_another_signature(&request, phone, code, &id, &right).await;
        }
        match self.until_answered(&request, &right, &[]).await.status() {
            204 => Answered::Bound,
            _ => Answered::Over,
        }
    }

    /// Sends a right signature, and if that answer is lost, another right signature: it must not bind a second time,
    /// and is not a repeat of the first.
    async fn answer_with_another_signature(
        &mut self,
        first: &Request,
        phone: &Phone,
        code: &str,
        id: &str,
        right: &[u16],
    ) -> Answered {
        if let Some(answer) = self.once(first).await {
            let status = answer.status.as_u16();
            assert!(right.contains(&status), "{}: {status}", first.path);
            return if status == 204 { Answered::Bound } else { Answered::Over };
        }
        let body = json!({"signature": phone.sign_with_nonce(code, 1)});
        let (path, kind) = (first.path.clone(), first.kind);
        let request = Request { kind, method: "PUT", path, body: Some(body), key: None };
        let again = [right, &[404]].concat();
        if self.until_answered(&request, &again, &[]).await.status() == 204 {
            return Answered::Bound;
        }
        let device = format!("/v1/mfa/devices/{id}");
        let request = Request { kind: "look", method: "GET", path: device, body: None, key: None };
        let bound = self.until_answered(&request, &[200, 404], &[]).await.status() == 200;
        assert!(bound || right.contains(&404), "challenge {id} is neither open nor answered");
        if bound { Answered::Bound } else { Answered::Over }
    }

    /// Sends a wrong signature: with an idempotency key until it is answered, without one only once. False if the
    /// challenge is over.
    async fn fail(&mut self, request: &Request, wrong: &mut Wrong) -> bool {
        let may_be_closed = wrong.most() >= WRONG_MAX;
        let status = if request.key.is_some() {
            Some(self.until_answered(request, &[403], &[]).await.status())
        } else {
            self.once(request).await.map(|answer| answer.status.as_u16())
        };
        match status {
            Some(403) => wrong.answered += 1,
            None => wrong.unknown += 1,
            Some(404) => return may_be_closed,
            Some(status) => panic!("{}: a wrong signature got {status}", request.path),
        }
        true
    }

    /// Adds a key to the newest device, in half of the cases after a wrong signature.
    async fn add_key(&mut self, account: &mut Acknowledged, phone: &Phone) {
        let new = Phone::new(self.unique());
        let path = format!("/v1/mfa/devices/{}/keys", account.devices.last().expect("there is one").id);
        if self.random.random_bool(0.5) {
            let mut body = phone.vouch_for(&new);
            body["device_signature"]["signature"] = json!(phone.sign("another key"));
            let request = self.request(account, "wrong key", "POST", path.clone(), body);
            let mut wrong = account.devices.last().expect("there is one").wrong;
            assert!(self.fail(&request, &mut wrong).await, "{path} is not there");
            account.devices.last_mut().expect("there is one").wrong = wrong;
        }
        let request = self.request(account, "key", "POST", path, phone.vouch_for(&new));
        self.until_answered(&request, &[201], &[409]).await;
        account.devices.last_mut().expect("there is one").keys.push(new.key());
    }

    async fn delete_device(&mut self, account: &mut Acknowledged) {
        let device = account.devices.last_mut().expect("there is one");
        let path = format!("/v1/mfa/devices/{}", device.id);
        let request = Request { kind: "deletion", method: "DELETE", path, body: None, key: None };
        self.until_answered(&request, &[204], &[404]).await;
        device.deleted = true;
    }
}
