//! What `bench/run` can order, and the requests that each order means.

use std::cell::RefCell;
use std::rc::Rc;

use anyhow::{Context as _, bail};
use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::callers::{self, Ask, Errand, Terms};
use crate::gateway::Gateway;
use crate::people;
use crate::phones::Phone;

/// One line of input.
#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub(crate) enum Order {
    /// Persons from `first` on ask for a device each, `at_most` so many.
    Bind { terms: Terms, first: u64, at_most: usize },
    /// Their phones answer the challenges that came of it.
    Answer { terms: Terms },
    /// Somebody reads devices, in no order, of the persons 1 to `devices`.
    Read { terms: Terms, devices: u64 },
    /// Somebody asks whether the service is alive.
    Alive { terms: Terms },
}

/// Where orders are carried out.
pub(crate) struct Office {
    gateway: Gateway,
    /// The challenges of the last `Bind`, with the right answers.
    answers: Vec<(Uuid, String)>,
}

impl Office {
    pub(crate) fn new(gateway: Gateway) -> Self {
        Self { gateway, answers: Vec::new() }
    }

    /// Does what an order says. An error is an answer that was not right, or none.
    pub(crate) async fn carry_out(&mut self, order: Order) -> anyhow::Result<Value> {
        match order {
            Order::Bind { terms, first, at_most } => self.bind(&terms, first, at_most).await,
            Order::Answer { terms } => {
                if self.answers.is_empty() {
                    bail!("there is nothing to answer");
                }
                let errand = Rc::new(Answers(std::mem::take(&mut self.answers)));
                callers::run(&terms, errand).await
            }
            Order::Read { terms, devices } => callers::run(&terms, Rc::new(Reads { devices })).await,
            Order::Alive { terms } => callers::run(&terms, Rc::new(Alive)).await,
        }
    }

    async fn bind(&mut self, terms: &Terms, first: u64, at_most: usize) -> anyhow::Result<Value> {
        let phones = (0..at_most).map(|_| Phone::new()).collect::<anyhow::Result<Vec<_>>>()?;
        let bindings = Rc::new(Bindings { first, phones, ids: RefCell::default() });
        let mut report = callers::run(terms, bindings.clone()).await?;
        for (place, id) in bindings.ids.take() {
            let number = people::mobile_number(first + place as u64);
            let code = self.gateway.code_for(&number).context("a challenge without an SMS")?;
            self.answers.push((id, bindings.phones[place].sign(&code)?));
        }
        report["next"] = json!(first + self.answers.len() as u64);
        Ok(report)
    }
}

/// `POST /v1/mfa/devices`
struct Bindings {
    first: u64,
    phones: Vec<Phone>,
    ids: RefCell<Vec<(usize, Uuid)>>,
}

impl Errand for Bindings {
    fn request(&self, place: usize) -> Option<Ask> {
        let phone = self.phones.get(place)?;
        let body = json!({
            "person_id": people::person(self.first + place as u64),
            "key_type": "ecdsa-p256",
            "key": phone.key(),
            "key_purpose": "unrestricted",
            "name": "A phone like any other",
            "sms_challenge": {"app_signature": "FA+9qCX9VSu"},
            "language": "en",
        });
        Some(Ask { method: Method::POST, path: "/v1/mfa/devices".to_owned(), body: body.to_string() })
    }

    fn check(&self, place: usize, status: StatusCode, body: &[u8]) -> Result<(), &'static str> {
        let answer = json_of(status == StatusCode::ACCEPTED, body);
        let id = answer["id"].as_str().and_then(|id| id.parse().ok()).ok_or("202 with the id of a challenge")?;
        self.ids.borrow_mut().push((place, id));
        Ok(())
    }
}

/// `PUT /v1/mfa/challenges/signatures/{id}`
struct Answers(Vec<(Uuid, String)>);

impl Errand for Answers {
    fn request(&self, place: usize) -> Option<Ask> {
        let (id, signature) = self.0.get(place)?;
        let path = format!("/v1/mfa/challenges/signatures/{}", id.simple());
        Some(Ask { method: Method::PUT, path, body: json!({ "signature": signature }).to_string() })
    }

    fn check(&self, _place: usize, status: StatusCode, body: &[u8]) -> Result<(), &'static str> {
        (status == StatusCode::NO_CONTENT && body.is_empty()).then_some(()).ok_or("204 with nothing")
    }
}

/// `GET /v1/mfa/devices/{id}`
struct Reads {
    devices: u64,
}

impl Reads {
    /// Whose device: each as likely as the others, and the same in each run.
    fn number(&self, place: usize) -> u64 {
        let random = (place as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 11;
        random % self.devices + 1
    }
}

impl Errand for Reads {
    fn request(&self, place: usize) -> Option<Ask> {
        let path = format!("/v1/mfa/devices/{}", people::device(self.number(place)).simple());
        Some(Ask { method: Method::GET, path, body: String::new() })
    }

    fn check(&self, place: usize, status: StatusCode, body: &[u8]) -> Result<(), &'static str> {
        let number = self.number(place);
        let device = json_of(status == StatusCode::OK, body);
        let id = device["id"].as_str().and_then(|id| id.parse::<Uuid>().ok());
        let is_right = id == Some(people::device(number)) && device["person_id"] == *people::person(number);
        is_right.then_some(()).ok_or("200 with the device that was asked for")
    }
}

/// `GET /healthz`: nothing but the way in and out.
struct Alive;

impl Errand for Alive {
    fn request(&self, _place: usize) -> Option<Ask> {
        Some(Ask { method: Method::GET, path: "/healthz".to_owned(), body: String::new() })
    }

    fn check(&self, _place: usize, status: StatusCode, _body: &[u8]) -> Result<(), &'static str> {
        (status == StatusCode::OK).then_some(()).ok_or("200")
    }
}

/// The body as JSON, or null where it is not what was wanted.
fn json_of(is_wanted: bool, body: &[u8]) -> Value {
    is_wanted.then(|| serde_json::from_slice(body).ok()).flatten().unwrap_or_default()
}
