//! The whole API in this process, with its own SQLite file: the way to parsers that are not public.
//!
//! Every answer has to conform to `openapi.yaml`, and none may have a status of 5xx.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Request, header};
use device_management::api::{self, App};
use device_management::app::{Surroundings, assemble};
use device_management::clock::{Clock, SystemClock};
use device_management::config::Config;
use device_management::domain::clients::{Caller, Permissions};
use device_management::domain::person::PartnerId;
use device_management::store::{connect, migrate};
use http_body_util::BodyExt;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tower::ServiceExt;

use super::super::contract::CONTRACT;

/// The secret of the service's tokens. The seeds of `bearer_token` are signed with it.
pub(super) const TOKEN_SECRET: &str = "a secret that only the fuzz corpus knows";

/// The sample key of `openapi.yaml`.
const SAMPLE_KEY: &str = "04a346c447bac867d15a0a0f555eece87b416ba6f917df1e39f1cba7515757b4da9eaf5f1604f7e47f1948af3b34ed2735aa565cfd97d5361e12b3b8603bdad73c";
/// The sample signature of `openapi.yaml`: that key's over `212212`, the fixed code of the sandbox.
const SAMPLE_SIGNATURE: &str = "3045022100bdbebd8ba5e4ea23a4ab3d852cbf0968cbc7319c7c4388e0c54bf34e896d19d802205880fca38bf5450bff73d41c675e1444b8e3c75dc8bf764d5c0e9282bd150ade";
/// Another key, whose private key is not used.
pub(super) const OTHER_KEY: &str = "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb67903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299";

/// A person with a verified number, named in the seeds.
pub(super) const PERSON: &str = "ada";
const NUMBER: &str = "+4915112345678";

/// The service with a bound device and an open challenge.
pub struct Edge {
    runtime: Runtime,
    app: App,
    router: Router,
    device: String,
    challenge: Mutex<String>,
    persons: AtomicU64,
    _folder: TempDir,
}

/// An answer of the service.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
}

impl Edge {
    /// Starts the service in sandbox mode. Dropping the handle deletes the database.
    #[must_use]
    pub fn open() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let url = format!("sqlite://{}", folder.path().join("device-management.db").display());
        let settings = [("DATABASE_URL", &*url), ("TOKEN_SECRET", TOKEN_SECRET)];
        let config = Config::load(&settings.into_iter().collect(), None).expect("the settings are good");
        let runtime = Runtime::new().expect("a runtime can be started");
        let app = runtime.block_on(async {
            migrate(&config.database).await.expect("the migrations fit an empty database");
            let store = connect(&config.database).await.expect("the database is there");
            assemble(&config, Surroundings::real(store)).expect("the parts fit together")
        });
        let edge = Self {
            runtime,
            router: api::router(app.clone()),
            app,
            device: String::new(),
            challenge: Mutex::default(),
            persons: AtomicU64::new(0),
            _folder: folder,
        };
        let device = edge.ask_for_device(PERSON, SAMPLE_KEY);
        let answer = edge.send_json("PUT", &challenge_path(&device), &json!({"signature": SAMPLE_SIGNATURE}));
        assert_eq!(answer.status, 204, "{}", answer.body);
        Self { device, ..edge }
    }

    /// A bound device.
    pub(super) fn device(&self) -> &str {
        &self.device
    }

    /// The path of a challenge that is open: three wrong answers close one, and so do five minutes.
    pub(super) fn open_challenge(&self) -> String {
        let mut challenge = self.challenge.lock().expect("no thread panics while it holds the challenge");
        let path = challenge_path(&challenge);
        if !challenge.is_empty() && self.send("GET", &path, None).status == 200 {
            return path;
        }
        // Another person each time, because wrong signatures pause the person.
        let number = self.persons.fetch_add(1, Ordering::Relaxed);
        *challenge = self.ask_for_device(&format!("person-{number}"), OTHER_KEY);
        challenge_path(&challenge)
    }

    pub(super) fn send(&self, method: &str, path: &str, body: Option<&[u8]>) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_vec()));
        self.request(request.body(body).expect("method and path are good"))
    }

    /// Sends a request, with a token unless it has one.
    pub(super) fn request(&self, mut request: Request<Body>) -> Answer {
        if !request.headers().contains_key(header::AUTHORIZATION) {
            let value = format!("Bearer {}", self.token());
            request.headers_mut().insert(header::AUTHORIZATION, value.parse().expect("a JWT fits a header"));
        }
        if !request.headers().contains_key(header::HOST) {
            request.headers_mut().insert(header::HOST, HeaderValue::from_static("device-management.example"));
        }
        let (method, path) = (request.method().to_string(), request.uri().to_string());
        let (parts, body) = self.runtime.block_on(async {
            let response = self.router.clone().oneshot(request).await.expect("the router always answers");
            let (parts, body) = response.into_parts();
            (parts, body.collect().await.expect("an answer in memory is whole").to_bytes())
        });
        let status = parts.status.as_u16();
        assert!(status < 500, "{method} {path} answered {status}");
        if let Err(fault) = CONTRACT.check(&method, &path, status, &parts.headers, &body) {
            panic!("{fault}");
        }
        let body = serde_json::from_slice(&body).unwrap_or_default();
        Answer { status, headers: parts.headers, body }
    }

    fn token(&self) -> String {
        let partner = PartnerId::parse("acme").expect("a good name");
        let caller = Caller { client_id: "a-client".into(), partner, permissions: Permissions::all() };
        self.app.tokens.own.issue(&caller, SystemClock.now()).token.expose_secret().to_owned()
    }

    fn ask_for_device(&self, person: &str, key: &str) -> String {
        let number = json!({"number": NUMBER, "verified": true});
        let given = self.send_json("POST", &format!("/v1/persons/{person}/mobile_number"), &number);
        assert_eq!(given.status, 201, "{}", given.body);
        let asked = self.send_json("POST", "/v1/mfa/devices", &device_wish(person, key));
        assert_eq!(asked.status, 202, "{}", asked.body);
        asked.body["id"].as_str().expect("a pending device has an id").to_owned()
    }

    fn send_json(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.send(method, path, Some(body.to_string().as_bytes()))
    }
}

impl Answer {
    /// The fields of the errors; every error must have one.
    pub(super) fn faulty_fields(&self) -> Vec<&str> {
        let errors = self.body["errors"].as_array().expect("an error has the envelope");
        let field = |error: &'_ Value| error["source"]["field"].is_string();
        assert!(!errors.is_empty() && errors.iter().all(field), "every error names its field: {}", self.body);
        errors.iter().filter_map(|error| error["source"]["field"].as_str()).collect()
    }
}

pub(super) fn device_wish(person: &str, key: &str) -> Value {
    json!({"person_id": person, "key_type": "ecdsa-p256", "key": key})
}

fn challenge_path(id: &str) -> String {
    format!("/v1/mfa/challenges/signatures/{id}")
}
