//! The rules of device challenges and activation codes (docs/api-design.md#device-challenges), a second time and
//! without a database: each answer is compared with the status that they demand. The engines share the service's code,
//! so a comparison between them does not find a fault that they share.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::operation::PHONES;
use super::world::Prepared;
use crate::harness::{ACTIVATION_CODES, Answer, DEVICE_CHALLENGES, OpenChallenge, Phone};

const DEVICES: &str = "/v1/mfa/devices";
const BINDINGS: &str = "/v1/mfa/challenges/signatures";

const CHALLENGE_LIFE: TimeDelta = TimeDelta::minutes(5);
const REPEAT_WINDOW: TimeDelta = TimeDelta::minutes(1);
const WRONG_MAX: u32 = 3;
/// As `SETTINGS` says.
const OPEN_MAX: usize = 3;
const CODE_LIFE: TimeDelta = TimeDelta::days(1);

const FAILURES_MAX: u32 = 5;
/// The window of failures, and the pause after the last one.
const PAUSE: TimeDelta = TimeDelta::minutes(30);

#[derive(Default)]
pub(super) struct Rules {
    /// By id, as the others.
    bindings: BTreeMap<String, Binding>,
    devices: BTreeMap<String, Device>,
    challenges: BTreeMap<String, Challenge>,
    codes: BTreeMap<String, Code>,
    /// The newest code of each person.
    newest: BTreeMap<String, String>,
}

struct Binding {
    person: String,
    phone: Phone,
    /// The activation code; `None` for a code sent by SMS.
    code: Option<String>,
}

/// A bound device.
struct Device {
    person: String,
    /// Purpose and key.
    keys: Vec<(String, Phone)>,
    failures: u32,
    last_failure: DateTime<Utc>,
}

struct Challenge {
    device: String,
    shown: OpenChallenge,
    expires_at: DateTime<Utc>,
    wrong: u32,
    /// The accepted answer.
    answer: Option<(Value, DateTime<Utc>)>,
}

struct Code {
    expires_at: DateTime<Utc>,
    failures: u32,
    is_used: bool,
}

impl Code {
    fn is_live(&self, now: DateTime<Utc>) -> bool {
        !self.is_used && self.expires_at > now
    }
}

impl Device {
    fn is_paused(&self, now: DateTime<Utc>) -> bool {
        self.failures >= FAILURES_MAX && (self.last_failure - now).abs() < PAUSE
    }

    fn fail(&mut self, now: DateTime<Utc>) {
        let goes_on = self.failures < FAILURES_MAX && self.last_failure > now - PAUSE;
        self.failures = if goes_on { self.failures + 1 } else { 1 };
        self.last_failure = now;
    }
}

impl Challenge {
    fn is_open(&self, now: DateTime<Utc>) -> bool {
        self.answer.is_none() && self.expires_at > now && self.wrong < WRONG_MAX
    }

    /// Whether one of the keys signed the text of the body's decision. The phones' signatures are deterministic.
    fn is_signed(&self, keys: &[(String, Phone)], body: &Value) -> bool {
        let text = match body["decision"].as_str() {
            Some("declined") => self.shown.declining(),
            _ => self.shown.text.clone(),
        };
        let fits = |purpose: &str| self.shown.text.contains(&format!("\nkey: {purpose}\n"));
        keys.iter().any(|(purpose, phone)| fits(purpose) && body["signature"] == phone.sign(&text))
    }
}

impl Rules {
    /// Compares the answer with the rules, and keeps its effect.
    pub(super) fn check(&mut self, now: DateTime<Utc>, request: &Prepared, answer: &Answer) {
        let Prepared { method, path, body, key } = request;
        let status = answer.status.as_u16();
        // The answer of an earlier request, or a refusal because of one.
        if answer.headers.contains_key("idempotency-replayed") || (key.is_some() && matches!(status, 409 | 422)) {
            return;
        }
        let body = body.as_ref().unwrap_or(&Value::Null);
        let (collection, id) = path.rsplit_once('/').expect("a path");
        let expected = match (*method, path.as_str(), collection) {
            ("POST", DEVICES, _) => self.request_device(now, body, answer),
            ("POST", DEVICE_CHALLENGES, _) => Some(self.open_challenge(now, body, answer)),
            ("POST", ACTIVATION_CODES, _) => Some(self.create_code(now, body, answer)),
            ("PUT", _, BINDINGS) => self.answer_binding(now, id, status),
            ("PUT", _, DEVICE_CHALLENGES) => Some(self.sign(now, id, body)),
            ("DELETE", _, DEVICES) if status == 204 => {
                self.devices.remove(id);
                None
            }
            ("POST", _, _) if id == "keys" && status == 201 => {
                self.add_key(collection, body);
                None
            }
            _ => None,
        };
        if let Some(expected) = expected {
            let body = String::from_utf8_lossy(&answer.body);
            assert_eq!(status, expected, "{method} {path} by the rules, answered {body}");
        }
    }

    pub(super) fn erase(&mut self, person: &str) {
        self.devices.retain(|_, device| device.person != person);
        self.newest.remove(person);
    }

    fn request_device(&mut self, now: DateTime<Utc>, body: &Value, answer: &Answer) -> Option<u16> {
        let person = text(body, "person_id");
        let by_code = body["challenge_type"] == "activation_code";
        let code = self.newest.get(&person).filter(|id| by_code && self.codes[*id].is_live(now)).cloned();
        if answer.status == 202 {
            let phone = phone_with(&text(body, "key"));
            self.bindings.insert(text(&answer.json(), "id"), Binding { person, phone, code: code.clone() });
        }
        (by_code && code.is_none()).then_some(400)
    }

    /// An answer is verified only while the code is live, and counts on it.
    fn answer_binding(&mut self, now: DateTime<Utc>, id: &str, status: u16) -> Option<u16> {
        if !matches!(status, 204 | 403) || self.devices.contains_key(id) {
            return None;
        }
        let binding = self.bindings.get(id).expect("only bindings that were opened are answered");
        let code = binding.code.as_ref().and_then(|code| self.codes.get_mut(code));
        if let Some(code) = code {
            if !code.is_live(now) {
                return Some(404);
            }
            code.is_used = status == 204;
            code.failures += u32::from(status == 403);
            if code.failures >= FAILURES_MAX {
                code.expires_at = now;
            }
        }
        if status == 204 {
            let binding = self.bindings.remove(id).expect("it was found");
            let keys = vec![("unrestricted".to_owned(), binding.phone)];
            let device = Device { person: binding.person, keys, failures: 0, last_failure: DateTime::UNIX_EPOCH };
            self.devices.insert(id.to_owned(), device);
        }
        None
    }

    fn add_key(&mut self, device: &str, body: &Value) {
        let (_, id) = device.rsplit_once('/').expect("a path");
        let purpose = body["key_purpose"].as_str().unwrap_or("unrestricted").to_owned();
        let device = self.devices.get_mut(id).expect("only devices that were bound get keys");
        device.keys.push((purpose, phone_with(&text(body, "key"))));
    }

    fn open_challenge(&mut self, now: DateTime<Utc>, body: &Value, answer: &Answer) -> u16 {
        let id = text(body, "device_id");
        let Some(device) = self.devices.get(&id) else { return 400 };
        let open = self.challenges.values().filter(|challenge| challenge.device == id && challenge.is_open(now));
        if device.is_paused(now) || open.count() >= OPEN_MAX {
            return 429;
        }
        if answer.status == 201 {
            let answer = answer.json();
            let shown = OpenChallenge { id: text(&answer, "id"), text: text(&answer, "string_to_sign") };
            let expires_at = now + CHALLENGE_LIFE;
            let challenge = Challenge { device: id, shown, expires_at, wrong: 0, answer: None };
            self.challenges.insert(text(&answer, "id"), challenge);
        }
        201
    }

    fn sign(&mut self, now: DateTime<Utc>, id: &str, body: &Value) -> u16 {
        let challenge = self.challenges.get_mut(id).expect("only challenges that were opened are answered");
        let Some(device) = self.devices.get_mut(&challenge.device) else { return 404 };
        if !challenge.is_open(now) {
            let accepted = challenge.answer.as_ref();
            let repeats = accepted.is_some_and(|(accepted, at)| accepted == body && *at > now - REPEAT_WINDOW);
            return if repeats { 204 } else { 404 };
        }
        if body["signature"] == "30" {
            return 400;
        }
        if device.is_paused(now) {
            return 429;
        }
        if challenge.is_signed(&device.keys, body) {
            challenge.answer = Some((body.clone(), now));
            device.failures = 0;
            return 204;
        }
        challenge.wrong += 1;
        device.fail(now);
        403
    }

    fn create_code(&mut self, now: DateTime<Utc>, body: &Value, answer: &Answer) -> u16 {
        let person = text(body, "person_id");
        let previous = self.newest.get(&person).and_then(|id| self.codes.get_mut(id));
        if let Some(previous) = previous {
            if previous.is_live(now) && body["invalidate_existing_code"] != true {
                return 409;
            }
            previous.expires_at = previous.expires_at.min(now);
        }
        if answer.status == 201 {
            let id = text(&answer.json(), "id");
            self.newest.insert(person, id.clone());
            self.codes.insert(id, Code { expires_at: now + CODE_LIFE, failures: 0, is_used: false });
        }
        201
    }
}

fn text(body: &Value, name: &str) -> String {
    body[name].as_str().unwrap_or_else(|| panic!("{name} in {body}")).to_owned()
}

/// The phone with this public key.
fn phone_with(key: &str) -> Phone {
    (0..PHONES).map(Phone::new).find(|phone| phone.key() == key).expect("a key of a phone")
}
