//! The orders of `benches/run` and their requests.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use device_management::store::accepting_statements;
use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::callers::{self, Ask, Errand, Terms};
use crate::cases;
use crate::gateway::Gateway;
use crate::log_ins::{Approvals, BoundDevice, Challenged, Challenges, LogIns, Sights};
use crate::people;
use crate::phones::Phone;

/// One line of input.
#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub(crate) enum Order {
    /// Opens a binding for each person from `first` on, `at_most` this many.
    Bind { terms: Terms, first: u64, at_most: usize },
    /// Answers the challenges of the last `Bind`.
    Answer { terms: Terms },
    /// Whole bindings of the persons from `first` on: number, binding, signature. `code` is the service's fixed code.
    Whole { terms: Terms, first: u64, at_most: usize, code: Option<String> },
    /// Opens challenges for the devices that the last `Answer` bound, in turn.
    Challenge { terms: Terms },
    /// Reads the challenges of the last `Challenge`, in turn.
    See { terms: Terms },
    /// Answers the challenges of the last `Challenge`.
    Approve { terms: Terms },
    /// Logs in with the devices that the last `Answer` bound, in turn: opens a challenge, signs and answers it.
    LogIn { terms: Terms },
    /// Reads the devices of the persons 1 to `devices`, in random order.
    Read { terms: Terms, devices: u64 },
    /// Reads a device by an id that is invalid.
    Nothing { terms: Terms },
    /// Checks signatures with the service's code and with AWS-LC alone, without a request.
    Check { seconds: f64 },
    /// Gives the SQL with which the service accepts an answer on SQLite.
    Statements,
}

/// Carries out orders.
pub(crate) struct Office {
    gateway: Rc<Gateway>,
    /// The challenges of the last `Bind`.
    answers: Vec<Answer>,
    /// The devices that the last `Answer` bound.
    devices: Rc<[BoundDevice]>,
    /// The challenges of the last `Challenge`.
    challenges: Rc<[Challenged]>,
}

impl Office {
    pub(crate) fn new(gateway: Gateway) -> Self {
        Self { gateway: Rc::new(gateway), answers: Vec::new(), devices: Rc::new([]), challenges: Rc::new([]) }
    }

    /// Carries out an order. Fails when an answer is wrong or missing.
    pub(crate) async fn carry_out(&mut self, order: Order) -> anyhow::Result<Value> {
        match order {
            Order::Bind { terms, first, at_most } => self.bind(&terms, first, at_most).await,
            Order::Answer { terms } => self.answer(&terms).await,
            Order::Whole { terms, first, at_most, code } => {
                let phones = phones(at_most)?;
                callers::run(&terms, Rc::new(Whole { first, phones, code, gateway: self.gateway.clone() })).await
            }
            Order::Challenge { terms } => {
                let errand = Rc::new(Challenges::new(self.devices()?));
                let report = callers::run(&terms, errand.clone()).await?;
                self.challenges = errand.opened();
                Ok(report)
            }
            Order::See { terms } => callers::run(&terms, Rc::new(Sights(self.challenges()?))).await,
            Order::Approve { terms } => {
                let errand = Rc::new(Approvals::sign(&self.challenges()?)?);
                self.challenges = Rc::new([]);
                callers::run(&terms, errand).await
            }
            Order::LogIn { terms } => callers::run(&terms, Rc::new(LogIns(self.devices()?))).await,
            Order::Read { terms, devices } => callers::run(&terms, Rc::new(Reads { devices })).await,
            Order::Nothing { terms } => callers::run(&terms, Rc::new(Nothing)).await,
            Order::Check { seconds } => checks(seconds),
            Order::Statements => Ok(json!({ "sqlite": accepting_statements() })),
        }
    }

    async fn bind(&mut self, terms: &Terms, first: u64, at_most: usize) -> anyhow::Result<Value> {
        let bindings = Rc::new(Bindings { first, phones: phones(at_most)?, ids: RefCell::default() });
        self.answers.clear();
        let report = callers::run(terms, bindings.clone()).await?;
        for (place, id) in bindings.ids.take() {
            let number = first + place as u64;
            let code = self.gateway.code_for(&people::mobile_number(number)).context("no SMS for a challenge")?;
            let phone = bindings.phones[place].clone();
            self.answers.push(Answer { signature: phone.sign(&code)?, device: BoundDevice { number, id, phone } });
        }
        Ok(report)
    }

    async fn answer(&mut self, terms: &Terms) -> anyhow::Result<Value> {
        ensure!(!self.answers.is_empty(), "no challenge is open");
        let errand = Rc::new(Answers { answers: std::mem::take(&mut self.answers), bound: RefCell::default() });
        let report = callers::run(terms, errand.clone()).await?;
        self.devices = errand.bound.take().into();
        Ok(report)
    }

    fn devices(&self) -> anyhow::Result<Rc<[BoundDevice]>> {
        ensure!(!self.devices.is_empty(), "no device is bound");
        Ok(self.devices.clone())
    }

    fn challenges(&self) -> anyhow::Result<Rc<[Challenged]>> {
        ensure!(!self.challenges.is_empty(), "no challenge of a device is open");
        Ok(self.challenges.clone())
    }
}

fn phones(count: usize) -> anyhow::Result<Vec<Phone>> {
    (0..count).map(|_| Phone::new()).collect()
}

/// `POST /v1/mfa/devices`
struct Bindings {
    first: u64,
    phones: Vec<Phone>,
    ids: RefCell<Vec<(usize, Uuid)>>,
}

impl Errand for Bindings {
    fn request(&self, place: usize) -> Option<Ask> {
        Some(binding(self.first + place as u64, self.phones.get(place)?))
    }

    fn check(&self, place: usize, status: StatusCode, body: &[u8]) -> Result<(), &'static str> {
        let said = said(status == StatusCode::ACCEPTED, body);
        let id = said.and_then(|said| said.id.parse().ok()).ok_or("202 with the id of a challenge")?;
        self.ids.borrow_mut().push((place, id));
        Ok(())
    }
}

fn binding(number: u64, phone: &Phone) -> Ask {
    let body = json!({
        "person_id": people::person(number),
        "key_type": "ecdsa-p256",
        "key": phone.key(),
        "key_purpose": "unrestricted",
        "name": "A phone like any other",
        "sms_challenge": {"app_signature": "FA+9qCX9VSu"},
        "language": "en",
    });
    Ask { number, method: Method::POST, path: "/v1/mfa/devices".to_owned(), body: body.to_string() }
}

fn signature(number: u64, id: Uuid, signature: &str) -> Ask {
    let path = format!("/v1/mfa/challenges/signatures/{}", id.simple());
    Ask { number, method: Method::PUT, path, body: json!({ "signature": signature }).to_string() }
}

/// A number, a binding and its signature on the same connection, as a test suite sends them.
struct Whole {
    first: u64,
    phones: Vec<Phone>,
    code: Option<String>,
    gateway: Rc<Gateway>,
}

impl Errand for Whole {
    fn request(&self, place: usize) -> Option<Ask> {
        let number = self.first + place as u64;
        let path = format!("/v1/persons/{}/mobile_number", people::person(number));
        let body = json!({ "number": people::mobile_number(number), "verified": true }).to_string();
        (place < self.phones.len()).then_some(Ask { number, method: Method::POST, path, body })
    }

    fn check(&self, _place: usize, status: StatusCode, body: &[u8]) -> Result<(), &'static str> {
        let is_step = [StatusCode::CREATED, StatusCode::ACCEPTED].contains(&status);
        if is_step { Ok(()) } else { is_no_content(status, body) }
    }

    fn follow_up(&self, place: usize, status: StatusCode, body: &[u8]) -> anyhow::Result<Option<Ask>> {
        let (number, phone) = (self.first + place as u64, &self.phones[place]);
        match status {
            StatusCode::CREATED => Ok(Some(binding(number, phone))),
            StatusCode::ACCEPTED => {
                let id = said(true, body).and_then(|said| said.id.parse().ok()).context("no id of a challenge")?;
                let sent = || self.gateway.code_for(&people::mobile_number(number));
                let code = self.code.clone().or_else(sent).context("no SMS for a challenge")?;
                Ok(Some(signature(number, id, &phone.sign(&code)?)))
            }
            _ => Ok(None),
        }
    }
}

/// A challenge and the right signature. The device that it binds gets the id of the challenge.
struct Answer {
    device: BoundDevice,
    signature: String,
}

/// `PUT /v1/mfa/challenges/signatures/{id}`
struct Answers {
    answers: Vec<Answer>,
    bound: RefCell<Vec<BoundDevice>>,
}

impl Errand for Answers {
    fn request(&self, place: usize) -> Option<Ask> {
        let Answer { device, signature: signed } = self.answers.get(place)?;
        Some(signature(device.number, device.id, signed))
    }

    fn check(&self, place: usize, status: StatusCode, body: &[u8]) -> Result<(), &'static str> {
        is_no_content(status, body)?;
        self.bound.borrow_mut().push(self.answers[place].device.clone());
        Ok(())
    }
}

/// Whether this is the answer to a right signature.
pub(crate) fn is_no_content(status: StatusCode, body: &[u8]) -> Result<(), &'static str> {
    (status == StatusCode::NO_CONTENT && body.is_empty()).then_some(()).ok_or("204 without a body")
}

/// `GET /v1/mfa/devices/{id}`
struct Reads {
    devices: u64,
}

impl Reads {
    /// The number of the person: pseudo-random with a fixed seed, uniformly distributed.
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
        is_right.then_some(()).ok_or("200 with the requested device")
    }
}

/// `GET /v1/mfa/devices/nothing`: the cost of a request without a use case and the database.
struct Nothing;

impl Errand for Nothing {
    fn request(&self, place: usize) -> Option<Ask> {
        let path = "/v1/mfa/devices/nothing".to_owned();
        Some(Ask { number: place as u64, method: Method::GET, path, body: String::new() })
    }

    fn check(&self, _place: usize, status: StatusCode, body: &[u8]) -> Result<(), &'static str> {
        let is_right = status == StatusCode::NOT_FOUND
            && String::from_utf8_lossy(body).contains(r#""detail":"device \"nothing\" not found""#);
        is_right.then_some(()).ok_or("404 for the device `nothing`")
    }
}

/// Time of a signature check in microseconds: the service's, from hexadecimal text to the result, and AWS-LC's for the
/// same signature. They alternate, so that a change of the clock rate affects both.
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

/// The fields of an answer that are checked.
#[derive(Deserialize)]
struct Said<'a> {
    id: &'a str,
    person_id: Option<&'a str>,
}

/// The body of an answer, if it has the expected status.
fn said(is_expected: bool, body: &[u8]) -> Option<Said<'_>> {
    is_expected.then(|| serde_json::from_slice(body).ok()).flatten()
}
