//! A partner's back end: sends requests with its token, and checks every answer against `openapi.yaml`.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::contract::CONTRACT;
use super::{Outbox, Phone};

/// A number that the phone-number library classifies as mobile.
pub(crate) const NUMBER: &str = "+4915112345678";

/// The challenges of bound devices.
pub(crate) const DEVICE_CHALLENGES: &str = "/v1/mfa/challenges/devices";

/// SMS challenges.
pub(crate) const SMS_CHALLENGES: &str = "/v1/mfa/challenges/sms";

/// The activation codes.
pub(crate) const ACTIVATION_CODES: &str = "/v1/mfa/challenges/activation";

/// A client of one partner.
#[derive(Clone)]
pub(crate) struct TestClient {
    pub(super) router: Router,
    pub(super) outbox: Arc<Outbox>,
    pub(super) token: Option<String>,
}

/// An open challenge of a bound device.
#[derive(Clone)]
pub(crate) struct OpenChallenge {
    pub(crate) id: String,
    pub(crate) text: String,
}

/// An open SMS challenge and the code that was sent.
#[derive(Clone, Debug)]
pub(crate) struct SmsChallenge {
    pub(crate) id: String,
    pub(crate) code: String,
}

impl SmsChallenge {
    /// Six digits that differ from the code.
    pub(crate) fn wrong_code(&self) -> String {
        let number: u32 = self.code.parse().unwrap();
        format!("{:06}", (number + 1) % 1_000_000)
    }
}

impl OpenChallenge {
    /// The text that declines it.
    pub(crate) fn declining(&self) -> String {
        let (_, lines) = self.text.split_once('\n').expect("a text of several lines");
        format!("device-management/decline/v1\n{lines}")
    }
}

/// The ids of a device and its key, from the answer to `POST /v1/mfa/devices`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    pub(crate) id: String,
    pub(crate) key_id: String,
}

impl TestClient {
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, Some(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.send("PUT", path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, None).await
    }

    pub(crate) async fn send(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let request = Request::builder().method(method).uri(path);
        let request = match body {
            Some(body) => request.header(header::CONTENT_TYPE, "application/json").body(Body::from(body.to_string())),
            None => request.body(Body::empty()),
        };
        self.request(request.expect("the test builds a request")).await
    }

    /// Sends a request unchanged but for this client's token and a host, where it has none.
    pub(crate) async fn request(&self, mut request: Request<Body>) -> Answer {
        if let Some(token) = &self.token
            && !request.headers().contains_key(header::AUTHORIZATION)
        {
            let value = format!("Bearer {token}").parse().expect("a JWT fits a header");
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        if !request.headers().contains_key(header::HOST) {
            request.headers_mut().insert(header::HOST, HeaderValue::from_static("device-management.example"));
        }
        let (method, path) = (request.method().to_string(), request.uri().to_string());
        let response = self.router.clone().oneshot(request).await.expect("the router always answers");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("an answer in memory is complete").to_bytes();
        let verdict = CONTRACT.check(&method, &path, parts.status.as_u16(), &parts.headers, &body);
        if let Err(fault) = verdict {
            panic!("the answer to {method} {path} does not fit openapi.yaml: {fault}");
        }
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// Gives the person a verified number.
    pub(crate) async fn verified_person(&self, person: &str) {
        let path = format!("/v1/persons/{person}/mobile_number");
        self.post(&path, json!({"number": NUMBER, "verified": true})).await.assert_status(201);
    }

    /// Requests a device with this phone's key. The code is then in the outbox's last message.
    pub(crate) async fn ask_for_device(&self, person: &str, phone: &Phone) -> Bound {
        let body = json!({"person_id": person, "key_type": "ecdsa-p256", "key": phone.key()});
        let answer = self.post("/v1/mfa/devices", body).await;
        answer.assert_status(202);
        let answer = answer.json();
        Bound { id: text(&answer, "id"), key_id: text(&answer, "key_id") }
    }

    /// Opens a challenge of a bound device.
    pub(crate) async fn challenge(&self, device: &str) -> OpenChallenge {
        let answer = self.post(DEVICE_CHALLENGES, json!({"device_id": device})).await;
        let challenge = answer.assert_status(201).json();
        OpenChallenge { id: text(&challenge, "id"), text: text(&challenge, "string_to_sign") }
    }

    /// Answers a challenge of a bound device.
    pub(crate) async fn sign(&self, challenge: &str, signature: &str) -> Answer {
        self.put(&format!("{DEVICE_CHALLENGES}/{challenge}"), json!({"signature": signature})).await
    }

    /// Opens an SMS challenge of a person with a verified number.
    pub(crate) async fn sms_challenge(&self, person: &str) -> SmsChallenge {
        let answer = self.post(SMS_CHALLENGES, json!({"person_id": person})).await;
        let challenge = answer.assert_status(201).json();
        SmsChallenge { id: text(&challenge, "id"), code: self.outbox.last().code() }
    }

    /// Answers an SMS challenge.
    pub(crate) async fn type_code(&self, challenge: &str, code: &str) -> Answer {
        self.put(&format!("{SMS_CHALLENGES}/{challenge}"), json!({"code": code})).await
    }

    /// Answers a challenge.
    pub(crate) async fn answer(&self, challenge: &str, signature: &str) -> Answer {
        self.put(&format!("/v1/mfa/challenges/signatures/{challenge}"), json!({"signature": signature})).await
    }

    /// Binds this phone to a person who has a verified number.
    pub(crate) async fn bind(&self, person: &str, phone: &Phone) -> Bound {
        let bound = self.ask_for_device(person, phone).await;
        let code = self.outbox.last().code();
        self.answer(&bound.id, &phone.sign(&code)).await.assert_status(204);
        bound
    }
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("{name} in {value}")).to_owned()
}

/// A whole HTTP answer.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("JSON in {:?}", self.body))
    }

    #[track_caller]
    pub(crate) fn assert_status(&self, status: u16) -> &Self {
        assert_eq!(self.status.as_u16(), status, "{}", String::from_utf8_lossy(&self.body));
        self
    }

    /// Asserts that the answer has this status and exactly one error, with this code and detail.
    #[track_caller]
    pub(crate) fn assert_error(&self, status: u16, code: &str, detail: &str) -> &Self {
        self.assert_status(status);
        let errors = self.json()["errors"].clone();
        assert_eq!(errors.as_array().map(Vec::len), Some(1), "{errors}");
        assert_eq!((errors[0]["code"].as_str(), errors[0]["detail"].as_str()), (Some(code), Some(detail)));
        self
    }

    /// Asserts a 403 `invalid_tan` with this detail. In the sandbox a diagnosis may follow (`diagnoses` has them).
    #[track_caller]
    pub(crate) fn assert_wrong(&self, detail: &str) -> &Self {
        self.assert_status(403);
        let errors = self.json()["errors"].clone();
        assert_eq!((errors.as_array().map(Vec::len), errors[0]["code"].as_str()), (Some(1), Some("invalid_tan")));
        let found = errors[0]["detail"].as_str().expect("a detail");
        assert_eq!(found.split_once(": it ").map_or(found, |(refusal, _)| refusal), detail);
        self
    }

    /// Asserts a 400 with exactly one fault. For a key or signature the form that it looks like may follow
    /// (`diagnoses` has the whole messages).
    #[track_caller]
    pub(crate) fn assert_fault_or_form(&self, field: &str, message: &str) -> &Self {
        self.assert_status(400);
        let errors = self.json()["errors"].clone();
        assert_eq!(errors.as_array().map(Vec::len), Some(1), "{errors}");
        assert_eq!(errors[0]["source"]["field"], field);
        let found = errors[0]["source"]["message"].as_str().expect("a message");
        let fault = found.split_once("; this looks like ").map_or(found, |(fault, _)| fault);
        assert_eq!(fault, message);
        self
    }

    /// Asserts a 400 with exactly these faults (field, message) in this order.
    #[track_caller]
    pub(crate) fn assert_faults(&self, expected: &[(&str, &str)]) -> &Self {
        self.assert_status(400);
        let errors = self.json();
        let found: Vec<(&str, &str)> = errors["errors"]
            .as_array()
            .expect("an array of errors")
            .iter()
            .map(|error| {
                let source = &error["source"];
                (source["field"].as_str().unwrap_or(""), source["message"].as_str().unwrap_or(""))
            })
            .collect();
        assert_eq!(found, expected);
        self
    }
}
