//! The service on one engine, with the state of its clients and phones: their challenges and codes.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use chrono::TimeDelta;
use device_management::domain::person::{PartnerId, PersonId};
use device_management::service::PersonErasure;
use serde_json::{Value, json};

use super::operation::{Call, NUMBERS, Operation, PERSONS, Reply};
use crate::harness::{Answer, Engine, Phone, TestApp};

/// Limits low enough to be reached often.
pub(super) const SETTINGS: [(&str, &str); 6] = [
    ("SMS_LIMITS", "enforce"),
    ("LIMIT_SMS_PER_NUMBER", "2/30s,6/10m"),
    ("LIMIT_SMS_PER_PERSON", "2/30s,5/10m"),
    ("LIMIT_SMS_PER_PARTNER_PER_SECOND", "1"),
    ("LIMIT_SMS_PER_PARTNER_BURST", "4"),
    ("LIMIT_DEVICES_PER_PERSON", "2"),
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
pub(super) struct Prepared {
    method: &'static str,
    path: String,
    body: Option<Value>,
    key: Option<u8>,
}

/// An open challenge of one person, and the phone that can answer it.
#[derive(Clone)]
struct OpenChallenge {
    id: String,
    phone: u32,
    code: String,
}

/// The state of one person, as their client and phones know it.
#[derive(Clone, Default)]
struct PersonState {
    /// The last number.
    number: usize,
    challenge: Option<OpenChallenge>,
    /// The last code for the number.
    token: Option<String>,
    /// The last accepted challenge, and its signature.
    answered: Option<(String, String)>,
    /// The last bound device, and its phone.
    bound: Option<(String, u32)>,
}

pub(super) struct World {
    pub(super) app: TestApp,
    persons: Vec<PersonState>,
}

impl World {
    pub(super) async fn on(engine: Engine) -> Self {
        Self { app: TestApp::with(engine, &SETTINGS).await, persons: vec![PersonState::default(); PERSONS.len()] }
    }

    pub(super) async fn run(&mut self, operation: &Operation) -> Outcome {
        match operation {
            Operation::Request(call, key) => {
                let Some(prepared) = self.prepare(call, *key) else { return Outcome::Nothing };
                let sent = self.app.outbox().messages().len();
                let answer = self.send(prepared, None).await;
                self.update(call, &answer, sent);
                outcome(&answer)
            }
            Operation::Erase { person } => {
                let service = &self.app.app.service;
                let erasure =
                    PersonErasure { store: &*service.store, clock: &*service.clock, entropy: &*service.entropy };
                let (partner, id) = (PartnerId::parse("acme").unwrap(), PersonId::parse(PERSONS[*person]).unwrap());
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
                    (PersonState { challenge: Some(open), .. }, Reply::Right) => {
                        (open.id.clone(), Phone::new(open.phone).sign(&open.code))
                    }
                    (PersonState { challenge: Some(open), .. }, Reply::Wrong) => {
                        (open.id.clone(), Phone::new(open.phone).sign("wrong"))
                    }
                    (PersonState { challenge: Some(open), .. }, Reply::Malformed) => (open.id.clone(), "30".to_owned()),
                    _ => return None,
                };
                ("PUT", format!("/v1/mfa/challenges/signatures/{id}"), Some(json!({"signature": signature})))
            }
            Call::AddKey { person, phone, reply } => {
                let (device, own) = self.persons[person].bound.clone()?;
                let (own, new) = (Phone::new(own), Phone::new(phone));
                let mut body = own.vouch_for(&new);
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
        match (*call, answer.status.as_u16()) {
            (Call::CreateNumber { person, number } | Call::AssertNumber { person, number }, 201) => {
                self.persons[person].number = number;
            }
            (Call::RequestDevice { person, phone }, 202) => {
                // A replayed answer sends no message and changes nothing.
                if let Some(message) = message {
                    let id = answer.json()["id"].as_str().unwrap().to_owned();
                    self.persons[person].challenge = Some(OpenChallenge { id, phone, code: message.code() });
                }
            }
            (Call::Authorize { person, .. }, 201) => {
                if let Some(message) = message {
                    self.persons[person].token = Some(message.code());
                }
            }
            (Call::Answer { person, reply: Reply::Right }, 204) => {
                if let Some(open) = self.persons[person].challenge.clone() {
                    let signature = Phone::new(open.phone).sign(&open.code);
                    self.persons[person].answered = Some((open.id.clone(), signature));
                    self.persons[person].bound = Some((open.id, open.phone));
                }
            }
            _ => {}
        }
    }
}

pub(super) fn outcome(answer: &Answer) -> Outcome {
    let body = if answer.body.is_empty() { Value::Null } else { answer.json() };
    let headers = ["retry-after", "idempotency-replayed", "total", "link"];
    let headers =
        headers.iter().filter_map(|name| Some(format!("{name}: {}", answer.headers.get(*name)?.to_str().ok()?)));
    Outcome::Answered(answer.status.as_u16(), body, headers.collect())
}
