//! What `benches/run` can order, and the requests that each order means.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::callers::{self, Ask, Errand, Terms};
use crate::cases;
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
    /// Somebody asks for a device by what cannot be an id.
    Nothing { terms: Terms },
    /// Nobody asks anybody: signatures are checked as the service does it, and by AWS-LC alone.
    Check { seconds: f64 },
}

/// Where orders are carried out.
pub(crate) struct Office {
    gateway: Gateway,
    /// The challenges of the last `Bind`.
    answers: Vec<Answer>,
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
            Order::Nothing { terms } => callers::run(&terms, Rc::new(Nothing)).await,
            Order::Check { seconds } => checks(seconds),
        }
    }

    async fn bind(&mut self, terms: &Terms, first: u64, at_most: usize) -> anyhow::Result<Value> {
        let phones = (0..at_most).map(|_| Phone::new()).collect::<anyhow::Result<Vec<_>>>()?;
        let bindings = Rc::new(Bindings { first, phones, ids: RefCell::default() });
        self.answers.clear();
        let report = callers::run(terms, bindings.clone()).await?;
        for (place, id) in bindings.ids.take() {
            let number = first + place as u64;
            let code = self.gateway.code_for(&people::mobile_number(number)).context("a challenge without an SMS")?;
            self.answers.push(Answer { number, id, signature: bindings.phones[place].sign(&code)? });
        }
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
        let number = self.first + place as u64;
        Some(Ask { number, method: Method::POST, path: "/v1/mfa/devices".to_owned(), body: body.to_string() })
    }

    fn check(&self, place: usize, status: StatusCode, body: &[u8]) -> Result<(), &'static str> {
        let said = said(status == StatusCode::ACCEPTED, body);
        let id = said.and_then(|said| said.id.parse().ok()).ok_or("202 with the id of a challenge")?;
        self.ids.borrow_mut().push((place, id));
        Ok(())
    }
}

/// A challenge, and what is right.
struct Answer {
    number: u64,
    id: Uuid,
    signature: String,
}

/// `PUT /v1/mfa/challenges/signatures/{id}`
struct Answers(Vec<Answer>);

impl Errand for Answers {
    fn request(&self, place: usize) -> Option<Ask> {
        let Answer { number, id, signature } = self.0.get(place)?;
        let path = format!("/v1/mfa/challenges/signatures/{}", id.simple());
        let body = json!({ "signature": signature }).to_string();
        Some(Ask { number: *number, method: Method::PUT, path, body })
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
        let number = self.number(place);
        let path = format!("/v1/mfa/devices/{}", people::device(number).simple());
        Some(Ask { number, method: Method::GET, path, body: String::new() })
    }

    fn check(&self, place: usize, status: StatusCode, body: &[u8]) -> Result<(), &'static str> {
        let number = self.number(place);
        let is_right = said(status == StatusCode::OK, body).is_some_and(|said| {
            said.id.parse() == Ok(people::device(number)) && said.person_id == Some(&*people::person(number))
        });
        is_right.then_some(()).ok_or("200 with the device that was asked for")
    }
}

/// `GET /v1/mfa/devices/nothing`: all that is around a request, and no work.
struct Nothing;

impl Errand for Nothing {
    fn request(&self, place: usize) -> Option<Ask> {
        let path = "/v1/mfa/devices/nothing".to_owned();
        Some(Ask { number: place as u64, method: Method::GET, path, body: String::new() })
    }

    fn check(&self, _place: usize, status: StatusCode, body: &[u8]) -> Result<(), &'static str> {
        let is_right = status == StatusCode::NOT_FOUND
            && String::from_utf8_lossy(body).contains(r#""detail":"device \"nothing\" not found""#);
        is_right.then_some(()).ok_or("404 for a device that is called nothing")
    }
}

/// Time of a signature check, in microseconds: ours from hexadecimal text to the verdict, and AWS-LC's own of the same
/// signature. In turns, so that both meet the machine in the same mood.
fn checks(seconds: f64) -> anyhow::Result<Value> {
    const TURN: u32 = 50;
    let cases = cases::crypto::cases();
    let case = |name| cases.iter().find(|case| case.name == name).context("no such case");
    let (ours, limit) = (case("crypto/signature_check")?, case("limit/aws_lc_verify")?);
    let (mut took, mut times) = ([Duration::ZERO; 2], 0);
    let started = Instant::now();
    while started.elapsed().as_secs_f64() < seconds {
        for (case, took) in [ours, limit].into_iter().zip(&mut took) {
            ensure!(case.comes_out_right(), "{} comes out wrong", case.name);
            let begun = Instant::now();
            case.repeat(TURN.into());
            *took += begun.elapsed();
        }
        times += TURN;
    }
    let [ours, limit] = took.map(|took| (took / times).as_secs_f64() * 1e6);
    Ok(json!({ "service_us": ours, "aws_lc_us": limit, "ratio": ours / limit }))
}

/// What is looked at of an answer.
#[derive(Deserialize)]
struct Said<'a> {
    id: &'a str,
    person_id: Option<&'a str>,
}

/// What the body says, where it is one that was wanted.
fn said(is_wanted: bool, body: &[u8]) -> Option<Said<'_>> {
    is_wanted.then(|| serde_json::from_slice(body).ok()).flatten()
}
