//! The service on one engine, with the state of its clients and phones: their challenges and codes.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use chrono::TimeDelta;
use device_management::domain::id::DeviceId;
use device_management::domain::person::{PartnerId, PersonId};
use device_management::service::PersonErasure;
use serde_json::{Value, json};

use super::operation::{Call, NUMBERS, Operation, PERSONS, Reply};
use super::rules::Rules;
use crate::activation_codes::{activation_wish, binding_by_letter};
use crate::harness::{ACTIVATION_CODES, Answer, DEVICE_CHALLENGES, Engine, OpenChallenge, Phone, TestApp};

/// Limits low enough to be reached often.
pub(super) const SETTINGS: [(&str, &str); 9] = [
    ("SMS_LIMITS", "enforce"),
    ("LIMIT_SMS_PER_NUMBER", "2/30s,6/10m"),
    ("LIMIT_SMS_PER_PERSON", "2/30s,5/10m"),
    ("LIMIT_SMS_PER_PARTNER_PER_SECOND", "1"),
    ("LIMIT_SMS_PER_PARTNER_BURST", "4"),
    ("LIMIT_DEVICES_PER_PERSON", "2"),
    ("LIMIT_OPEN_DEVICE_CHALLENGES", "3"),
    ("ACTIVATION_CODE_LIFE_DAYS", "1"),
    // A notice has no code and counts against no limit.
    ("ACTIVATION_NOTICE", "none"),
];

/// The result of an operation as a caller sees it.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Outcome {
    /// Status, body and relevant headers.
    Answered(u16, Value, Vec<String>),
    Done(String),
    /// The operation was impossible in this state.
    Nothing,
}

/// A request that is ready to be sent.
#[derive(Clone)]
pub(super) struct Prepared {
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) body: Option<Value>,
    pub(super) key: Option<u8>,
}

/// A binding of one person, and the phone that can answer it.
#[derive(Clone)]
struct Binding {
    id: String,
    phone: u32,
    code: String,
}

/// A challenge of a bound device, and the phone whose key has its purpose.
#[derive(Clone)]
struct ToSign {
    challenge: OpenChallenge,
    phone: u32,
}

/// The state of one person, as their client and phones know it.
#[derive(Clone, Default)]
struct PersonState {
    /// The last number.
    number: usize,
    binding: Option<Binding>,
    /// The last code for the number.
    token: Option<String>,
    /// The last accepted challenge, and its signature.
    answered: Option<(String, String)>,
    /// The last bound device, and its phone.
    bound: Option<(String, u32)>,
    /// The phone with the device's restricted key.
    restricted: Option<u32>,
    /// The challenges of the person's devices, the newest last.
    to_sign: Vec<ToSign>,
    /// The path and the body of the last accepted answer.
    signed: Option<(String, Value)>,
    /// The last activation code.
    letter: Option<String>,
}

impl PersonState {
    /// The path and the body of an answer to a challenge of a device.
    fn answer(&self, newest: bool, declined: bool, reply: Reply) -> Option<(String, Value)> {
        if let Reply::Repeated = reply {
            return self.signed.clone();
        }
        let ToSign { challenge, phone } = if newest { self.to_sign.last() } else { self.to_sign.first() }?;
        let phone = Phone::new(*phone);
        let signature = match (reply, declined) {
            (Reply::Malformed, _) => "30".to_owned(),
            // The signature for the other decision.
            (Reply::Wrong, false) | (Reply::Right, true) => phone.sign(&challenge.declining()),
            (Reply::Wrong, true) | (Reply::Right | Reply::Repeated, _) => phone.sign(&challenge.text),
        };
        let body = if declined {
            json!({"signature": signature, "decision": "declined", "reason": "not_me"})
        } else {
            json!({"signature": signature})
        };
        Some((format!("{DEVICE_CHALLENGES}/{}", challenge.id), body))
    }

    fn drop_to_sign(&mut self, newest: bool) {
        if newest {
            self.to_sign.pop();
        } else if !self.to_sign.is_empty() {
            self.to_sign.remove(0);
        }
    }
}

pub(super) struct World {
    pub(super) app: TestApp,
    persons: Vec<PersonState>,
    rules: Rules,
}

impl World {
    pub(super) async fn on(engine: Engine) -> Self {
        Self {
            app: TestApp::with(engine, &SETTINGS).await,
            persons: vec![PersonState::default(); PERSONS.len()],
            rules: Rules::default(),
        }
    }

    pub(super) async fn run(&mut self, operation: &Operation) -> Outcome {
        match operation {
            Operation::Request(call, key) => {
                let Some(prepared) = self.prepare(call, *key) else { return Outcome::Nothing };
                let sent = self.app.outbox().messages().len();
                let request = prepared.clone();
                let answer = self.send(prepared, None).await;
                self.rules.check(self.app.app.service.clock.now(), &request, &answer);
                self.update(call, &answer, sent);
                outcome(&answer)
            }
            Operation::Erase { person } => {
                let service = &self.app.app.service;
                let erasure =
                    PersonErasure { store: &*service.store, clock: &*service.clock, entropy: &*service.entropy };
                let (partner, id) = (PartnerId::parse("acme").unwrap(), PersonId::parse(PERSONS[*person]).unwrap());
                self.rules.erase(PERSONS[*person]);
                Outcome::Done(format!("{:?}", erasure.erase(&partner, &id).await.unwrap()))
            }
            Operation::Housekeeping => Outcome::Done(format!("{:?}", self.app.app.service.keep_house().await.unwrap())),
            Operation::SealAuditTrail => {
                Outcome::Done(format!("{:?}", self.app.app.service.seal_audit_trail().await.unwrap()))
            }
            Operation::Wait(seconds) => {
                self.app.advance(TimeDelta::seconds(*seconds));
                Outcome::Nothing
            }
            Operation::Network(network) => {
                self.app.network(*network);
                Outcome::Nothing
            }
        }
    }

    /// Builds the request of a call; `None` when the state that it needs does not exist.
    pub(super) fn prepare(&self, call: &Call, key: Option<u8>) -> Option<Prepared> {
        let number_of = |person: usize| format!("/v1/persons/{}/mobile_number", PERSONS[person]);
        let (method, path, body) = match *call {
            Call::CreateNumber { person, number } => {
                ("POST", number_of(person), Some(json!({"number": NUMBERS[number]})))
            }
            Call::AssertNumber { person, number } => {
                ("POST", number_of(person), Some(json!({"number": NUMBERS[number], "verified": true})))
            }
            Call::DeleteNumber { person } => ("DELETE", number_of(person), None),
            Call::Authorize { person, other } => {
                let number = other.unwrap_or(self.persons[person].number);
                ("POST", format!("{}/authorize", number_of(person)), Some(json!({"number": NUMBERS[number]})))
            }
            Call::Confirm { person, other, reply } => {
                let number = other.unwrap_or(self.persons[person].number);
                let sent = self.persons[person].token.clone().unwrap_or_else(|| "123456".to_owned());
                let token = match reply {
                    Reply::Right | Reply::Repeated => sent,
                    Reply::Wrong => if sent == "000000" { "000001" } else { "000000" }.to_owned(),
                    Reply::Malformed => "12345".to_owned(),
                };
                let body = json!({"number": NUMBERS[number], "token": token});
                ("POST", format!("{}/confirm", number_of(person)), Some(body))
            }
            Call::RequestDevice { person, phone } => {
                let body =
                    json!({"person_id": PERSONS[person], "key_type": "ecdsa-p256", "key": Phone::new(phone).key()});
                ("POST", "/v1/mfa/devices".to_owned(), Some(body))
            }
            Call::Answer { person, reply } => {
                let (id, signature) = match (&self.persons[person], reply) {
                    (PersonState { answered: Some(answered), .. }, Reply::Repeated) => answered.clone(),
                    (PersonState { binding: Some(open), .. }, Reply::Right) => {
                        (open.id.clone(), Phone::new(open.phone).sign(&open.code))
                    }
                    (PersonState { binding: Some(open), .. }, Reply::Wrong) => {
                        (open.id.clone(), Phone::new(open.phone).sign("wrong"))
                    }
                    (PersonState { binding: Some(open), .. }, Reply::Malformed) => (open.id.clone(), "30".to_owned()),
                    _ => return None,
                };
                ("PUT", format!("/v1/mfa/challenges/signatures/{id}"), Some(json!({"signature": signature})))
            }
            Call::AddKey { person, phone, reply } => {
                let (device, own) = self.persons[person].bound.clone()?;
                let (own, new) = (Phone::new(own), Phone::new(phone));
                let mut body = own.vouch_for(&new);
                if is_restricted(phone) {
                    body["key_purpose"] = json!("restricted");
                }
                match reply {
                    Reply::Right | Reply::Repeated => {}
                    Reply::Wrong => body["device_signature"]["signature"] = json!(own.sign("wrong")),
                    Reply::Malformed => body["device_signature"]["signature"] = json!("30"),
                }
                ("POST", format!("/v1/mfa/devices/{device}/keys"), Some(body))
            }
            Call::DeleteDevice { person } => {
                let (device, _) = self.persons[person].bound.clone()?;
                ("DELETE", format!("/v1/mfa/devices/{device}"), None)
            }
            Call::ListDevices { person } => {
                let filter = format!("filter[person_id]={}&filter[include_deleted]=true", PERSONS[person]);
                ("GET", format!("/v1/mfa/devices?{filter}"), None)
            }
            Call::OpenChallenge { person, approval } => {
                let (device, _) = self.persons[person].bound.clone()?;
                let mut body = json!({"device_id": device});
                if approval {
                    body["approval"] = json!({"action": "card-limit", "details": [{"label": "limit", "value": "5"}]});
                }
                ("POST", DEVICE_CHALLENGES.to_owned(), Some(body))
            }
            Call::Sign { person, newest, declined, reply } => {
                let (path, body) = self.persons[person].answer(newest, declined, reply)?;
                ("PUT", path, Some(body))
            }
            Call::CreateActivationCode { person, replace } => {
                let mut body = activation_wish(PERSONS[person]);
                body["invalidate_existing_code"] = json!(replace);
                ("POST", ACTIVATION_CODES.to_owned(), Some(body))
            }
            Call::RequestDeviceByCode { person, phone } => {
                let body = binding_by_letter(PERSONS[person], &Phone::new(phone));
                ("POST", "/v1/mfa/devices".to_owned(), Some(body))
            }
        };
        Some(Prepared { method, path, body, key })
    }

    /// Sends a request, perhaps to another replica.
    pub(super) async fn send(&self, prepared: Prepared, replica: Option<Router>) -> Answer {
        // Access tokens expire after an hour, and some steps advance the clock further.
        let client = self.app.partner();
        let client = match replica {
            Some(router) => client.through(router),
            None => client,
        };
        let mut request = Request::builder().method(prepared.method).uri(prepared.path);
        if let Some(key) = prepared.key.filter(|_| matches!(prepared.method, "POST" | "PUT")) {
            request = request.header("idempotency-key", format!("key-{key}"));
        }
        let body = prepared.body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        client.request(request.header("content-type", "application/json").body(body).unwrap()).await
    }

    /// Updates the state of a client and its phones from an answer. `sent` is the number of messages before it.
    pub(super) fn update(&mut self, call: &Call, answer: &Answer, sent: usize) {
        let message = self.app.outbox().messages().get(sent).cloned();
        let is_replayed = answer.headers.contains_key("idempotency-replayed");
        let text = |name: &str| answer.json()[name].as_str().unwrap().to_owned();
        match (*call, answer.status.as_u16()) {
            (Call::CreateNumber { person, number } | Call::AssertNumber { person, number }, 201) => {
                self.persons[person].number = number;
            }
            (Call::RequestDevice { person, phone }, 202) => {
                // A replayed answer sends no message and changes nothing.
                if let Some(message) = message {
                    self.persons[person].binding = Some(Binding { id: text("id"), phone, code: message.code() });
                }
            }
            (Call::RequestDeviceByCode { person, phone }, 202) => {
                let code = self.persons[person].letter.clone().filter(|_| !is_replayed);
                if let Some(code) = code {
                    self.persons[person].binding = Some(Binding { id: text("id"), phone, code });
                }
            }
            (Call::Authorize { person, .. }, 201) => {
                if let Some(message) = message {
                    self.persons[person].token = Some(message.code());
                }
            }
            (Call::Answer { person, reply: Reply::Right }, 204) => {
                let person = &mut self.persons[person];
                if let Some(open) = person.binding.clone() {
                    let signature = Phone::new(open.phone).sign(&open.code);
                    person.answered = Some((open.id.clone(), signature));
                    person.bound = Some((open.id, open.phone));
                    person.restricted = None;
                }
            }
            (Call::AddKey { person, phone, .. }, 201) if is_restricted(phone) => {
                self.persons[person].restricted = Some(phone);
            }
            (Call::OpenChallenge { person, .. }, 201) if !is_replayed => {
                let person = &mut self.persons[person];
                let challenge = OpenChallenge { id: text("id"), text: text("string_to_sign") };
                let signer = if challenge.text.contains("\nkey: restricted\n") {
                    person.restricted
                } else {
                    bound_phone(person)
                };
                if let Some(phone) = signer {
                    person.to_sign.push(ToSign { challenge, phone });
                }
            }
            (Call::Sign { person, newest, declined, reply: Reply::Right }, 204) if !is_replayed => {
                let person = &mut self.persons[person];
                person.signed = person.answer(newest, declined, Reply::Right);
                person.drop_to_sign(newest);
            }
            // It is over.
            (Call::Sign { person, newest, reply: Reply::Right | Reply::Wrong, .. }, 404) => {
                self.persons[person].drop_to_sign(newest);
            }
            (Call::CreateActivationCode { person, .. }, 201) if !is_replayed => {
                self.persons[person].letter = Some(text("code"));
            }
            _ => {}
        }
    }
}

impl World {
    /// Asserts that no device has more open challenges than allowed, and no person two live activation codes.
    pub(super) async fn assert_limits(&self) {
        let client = self.app.partner();
        for (person, state) in PERSONS.iter().zip(&self.persons) {
            let codes = client.get(&format!("{ACTIVATION_CODES}?filter[person_id]={person}")).await.json();
            let live = codes.as_array().unwrap().iter().filter(|code| code.get("code").is_some()).count();
            assert!(live <= 1, "{person} has {live} live activation codes");
            let Some((device, _)) = &state.bound else { continue };
            let (partner, device) = (PartnerId::parse("acme").unwrap(), DeviceId::parse(device).unwrap());
            let now = self.app.app.service.clock.now();
            let prospects = self.app.store().device_prospects(&partner, device, now, 3).await.unwrap();
            assert!(prospects.is_none_or(|found| found.open <= 3), "{person}'s device has too many open challenges");
        }
    }
}

fn bound_phone(person: &PersonState) -> Option<u32> {
    person.bound.as_ref().map(|(_, phone)| *phone)
}

/// Whether a phone adds a restricted key.
fn is_restricted(phone: u32) -> bool {
    phone % 2 == 1
}

pub(super) fn outcome(answer: &Answer) -> Outcome {
    let body = if answer.body.is_empty() { Value::Null } else { answer.json() };
    let headers = ["retry-after", "idempotency-replayed", "total", "link"];
    let headers =
        headers.iter().filter_map(|name| Some(format!("{name}: {}", answer.headers.get(*name)?.to_str().ok()?)));
    Outcome::Answered(answer.status.as_u16(), body, headers.collect())
}
