//! Each status that `openapi.yaml` documents for an operation occurs at least once, and each answer conforms to the
//! document.

use std::collections::BTreeSet;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use chrono::TimeDelta;
use device_management::domain::clients::Permissions;
use serde_json::{Value, json};

use super::calls::{Call, PERSON, Scene, device_wish};
use crate::activation_codes::{activation_wish, delivery_event};
use crate::harness::contract::CONTRACT;
use crate::harness::identity_provider::{AUDIENCE, IdentityProvider, IssuerKey};
use crate::harness::{
    ACTIVATION_CODES, Answer, Broken, Engine, NUMBER, Network, Phone, SMS_CHALLENGES, Start, TestApp, TestClient,
    on_both_databases_and_citus,
};
use crate::sandbox::PRODUCTION;

on_both_databases_and_citus![every_documented_status_of_every_operation_is_seen];

/// Documented answers that no in-process test can cause, each with the reason.
const UNSEEN: [(&str, u16, &str); 2] = [
    ("listSandboxMessages", 503, "it needs no database: only load shedding answers 503"),
    ("getSandboxClock", 503, "it needs no database: only load shedding answers 503"),
];

const LIMIT: usize = 4096;

/// The service with an external issuer, whose tokens may lack the scope that the service's own always have.
struct Bank {
    app: TestApp,
    without_scope: TestClient,
    _provider: IdentityProvider,
}

impl Start for Bank {
    async fn start(engine: Engine) -> Self {
        let key = IssuerKey::ec("key", 1);
        let provider = IdentityProvider::with(&[&key]).await;
        let (issuer, limit) = (provider.issuer(), LIMIT.to_string());
        let settings =
            [("EXTERNAL_ISSUER", &*issuer), ("EXTERNAL_AUDIENCE", AUDIENCE), ("REQUEST_BODY_LIMIT_BYTES", &limit)];
        let app = TestApp::with(engine, &settings).await;
        let far = 4_000_000_000_i64;
        let claims = json!({"iss": issuer, "aud": AUDIENCE, "sub": "x", "partner": "acme", "scope": "", "exp": far});
        let without_scope = app.with_token(Some(&key.token(&claims)));
        Self { app, without_scope, _provider: provider }
    }
}

async fn every_documented_status_of_every_operation_is_seen(bank: Bank) {
    let app = &bank.app;
    let acme = app.partner();
    let scene = Scene::set(app, &acme).await;
    let mut walk = Walk::default();
    walk.see_refused_tokens(&scene, &bank).await;
    walk.see_refused_bodies(&scene, &acme).await;
    walk.see_a_panic(&scene, &acme, app.broken_replica(Broken::Clock, &[]).await).await;
    walk.see_idempotency_keys(&scene, app).await;
    walk.see_numbers(app, &acme).await;
    walk.see_challenges(app, &acme, &scene).await;
    walk.see_device_challenges(&acme, &scene).await;
    walk.see_sms_challenges(app, &acme).await;
    walk.see_activation_codes(&acme).await;
    walk.see_devices_and_keys(app, &acme, &scene).await;
    walk.see_a_cool_down(&acme).await;
    walk.see_tokens(app).await;
    walk.see_operator_routes(app).await;
    walk.see_sandbox_tools(&scene, &acme, app.replica(&PRODUCTION).await).await;
    app.store().close().await;
    walk.see_an_outage(&scene, app).await;

    let documented = CONTRACT
        .operations()
        .iter()
        .flat_map(|operation| operation.statuses().into_iter().map(|status| (operation.id.clone(), status)));
    let unseen: BTreeSet<(String, u16)> = documented.filter(|promise| !walk.seen.contains(promise)).collect();
    let expected = UNSEEN.iter().map(|(id, status, _)| ((*id).to_owned(), *status)).collect();
    assert_eq!(unseen, expected, "documented statuses that did not occur");
}

/// Sends requests and records which statuses occurred.
#[derive(Default)]
struct Walk {
    seen: BTreeSet<(String, u16)>,
}

impl Walk {
    fn note(&mut self, method: &str, path: &str, answer: &Answer) {
        let status = answer.status.as_u16();
        let verdict = CONTRACT.check(method, path, status, &answer.headers, &answer.body);
        if let Some(operation) = verdict.expect("the test client has checked the answer against openapi.yaml") {
            self.seen.insert((operation.id.clone(), status));
        }
    }

    async fn see(&mut self, client: &TestClient, method: &str, path: &str, body: Option<Value>, status: u16) -> Answer {
        let answer = client.send(method, path, body).await;
        answer.assert_status(status);
        self.note(method, path, &answer);
        answer
    }

    async fn see_call(&mut self, client: &TestClient, call: &Call, status: u16) {
        self.see(client, call.method, &call.path, call.body.clone(), status).await;
    }

    async fn see_raw(&mut self, client: &TestClient, request: Request<Body>, status: u16) {
        let (method, path) = (request.method().to_string(), request.uri().to_string());
        let answer = client.request(request).await;
        answer.assert_status(status);
        self.note(&method, &path, &answer);
    }

    async fn see_refused_tokens(&mut self, scene: &Scene, bank: &Bank) {
        for call in scene.calls() {
            self.see_call(&bank.app.stranger(), &call, 401).await;
            self.see_call(&bank.without_scope, &call, 403).await;
        }
    }

    async fn see_refused_bodies(&mut self, scene: &Scene, acme: &TestClient) {
        let mut targets: Vec<(&str, String)> = vec![("POST", "/oauth2/token".into()), ("POST", "/oauth/token".into())];
        let calls = scene.calls();
        targets.extend(calls.iter().filter(|call| call.body.is_some()).map(|call| (call.method, call.path.clone())));
        for (method, path) in targets {
            let request = || Request::builder().method(method).uri(&path);
            let oversized = request().body(Body::from(" ".repeat(LIMIT + 1))).unwrap();
            self.see_raw(acme, oversized, 413).await;
            let text = request().header("content-type", "text/plain").body(Body::from("{}")).unwrap();
            self.see_raw(acme, text, 415).await;
            let list = request().body(Body::from("[]")).unwrap();
            self.see_raw(acme, list, 400).await;
        }
        self.see(acme, "GET", "/v1/mfa/devices?page[size]=0", None, 400).await;
    }

    async fn see_idempotency_keys(&mut self, scene: &Scene, app: &TestApp) {
        let acme = app.partner();
        let repeatable = scene.calls().into_iter().filter(Call::takes_idempotency_keys);
        for call in repeatable {
            let request = |body: &'static str| {
                let request = Request::builder().method(call.method).uri(&call.path).header("idempotency-key", "busy");
                request.body(Body::from(body)).unwrap()
            };
            self.see_raw(&acme, request("[]"), 400).await;
            call.claim(app, "busy", "[]").await;
            self.see_raw(&acme, request("[]"), 409).await;
            self.see_raw(&acme, request("[1]"), 422).await;
        }
    }

    async fn see_a_panic(&mut self, scene: &Scene, acme: &TestClient, broken: Router) {
        let broken = acme.through(broken);
        let json = json!({"grant_type": "client_credentials", "client_id": "sandbox", "client_secret": "sandbox"});
        let form = "grant_type=client_credentials&client_id=sandbox&client_secret=sandbox";
        let mut requests = vec![
            ("POST", "/oauth/token".to_owned(), Body::from(json.to_string())),
            ("POST", "/oauth2/token".to_owned(), Body::from(form)),
        ];
        requests.extend(scene.calls().into_iter().map(|call| {
            let body = call.body.map_or(Body::empty(), |body| Body::from(body.to_string()));
            (call.method, call.path, body)
        }));
        for (method, path, body) in requests {
            // With a request id from the client, the request log does not need the broken clock.
            let request = Request::builder().method(method).uri(path).header("x-request-id", "mine");
            self.see_raw(&broken, request.body(body).unwrap(), 500).await;
        }
    }

    async fn see_numbers(&mut self, app: &TestApp, acme: &TestClient) {
        let path = "/v1/persons/bob/mobile_number";
        let (authorize, confirm) = (&format!("{path}/authorize"), &format!("{path}/confirm"));
        let number = Some(json!({"number": NUMBER}));
        let token = |token: &str| Some(json!({"number": NUMBER, "token": token}));
        self.see(acme, "GET", path, None, 404).await;
        self.see(acme, "POST", authorize, number.clone(), 404).await;
        self.see(acme, "POST", confirm, token("000000"), 404).await;
        self.see(acme, "DELETE", path, None, 404).await;
        self.see(acme, "POST", "/v1/persons/b%20b/mobile_number", number.clone(), 404).await;

        let clerk = app.client("acme", Permissions::default());
        self.see(&clerk, "POST", path, Some(json!({"number": NUMBER, "verified": true})), 403).await;
        self.see(acme, "POST", path, number.clone(), 201).await;
        self.see(acme, "POST", path, number.clone(), 409).await;
        self.see(acme, "GET", path, None, 200).await;
        app.network(Network::IsDown);
        self.see(acme, "POST", authorize, number.clone(), 502).await;
        app.network(Network::Works);
        self.see(acme, "POST", authorize, number.clone(), 201).await;
        let code = app.outbox().last().code();
        self.see(acme, "POST", confirm, token(&code), 201).await;
        self.see(acme, "POST", confirm, token(&code), 403).await;
        self.see(acme, "DELETE", path, number, 200).await;
    }

    async fn see_challenges(&mut self, app: &TestApp, acme: &TestClient, scene: &Scene) {
        let path = format!("/v1/mfa/challenges/signatures/{}", scene.challenge);
        let signature = |signature: &str| Some(json!({"signature": signature}));
        self.see(acme, "GET", &path, None, 200).await;
        self.see(acme, "PUT", &path, signature("30"), 400).await;
        self.see(acme, "PUT", &path, signature(&Phone::new(2).sign("wrong")), 403).await;
        self.see(acme, "PUT", &path, signature(&scene.right_signature), 204).await;
        self.see(acme, "GET", &path, None, 404).await;
        self.see(acme, "PUT", &path, signature(&Phone::new(2).sign("late")), 404).await;

        // Another person binds the key while the challenge is open.
        acme.verified_person("eve").await;
        let late = acme.ask_for_device("eve", &Phone::new(5)).await.id;
        let signed = Phone::new(5).sign(&app.outbox().last().code());
        acme.bind(PERSON, &Phone::new(5)).await;
        self.see(acme, "PUT", &format!("/v1/mfa/challenges/signatures/{late}"), signature(&signed), 409).await;
    }

    async fn see_device_challenges(&mut self, acme: &TestClient, scene: &Scene) {
        let phone = Phone::new(1);
        let opened = Some(json!({"device_id": scene.device}));
        let challenge = self.see(acme, "POST", "/v1/mfa/challenges/devices", opened, 201).await.json();
        let text = challenge["string_to_sign"].as_str().unwrap();
        let path = format!("/v1/mfa/challenges/devices/{}", challenge["id"].as_str().unwrap());
        let signature = |text: &str| Some(json!({"signature": phone.sign(text)}));
        self.see(acme, "GET", &path, None, 200).await;
        self.see(acme, "PUT", &path, signature("wrong"), 403).await;
        self.see(acme, "PUT", &path, signature(text), 204).await;
        self.see(acme, "GET", &path, None, 404).await;
        let request = Request::put(&path).header("prefer", "return=representation");
        self.see_raw(acme, request.body(Body::from(signature(text).unwrap().to_string())).unwrap(), 200).await;
        self.see(acme, "PUT", &path, signature("late"), 404).await;
    }

    async fn see_sms_challenges(&mut self, app: &TestApp, acme: &TestClient) {
        let wish = Some(json!({"person_id": PERSON}));
        let code = |code: &str| Some(json!({"code": code}));
        app.network(Network::Rejects);
        self.see(acme, "POST", SMS_CHALLENGES, wish.clone(), 502).await;
        app.network(Network::Works);
        self.see(acme, "POST", SMS_CHALLENGES, wish, 201).await;
        let challenge = acme.sms_challenge(PERSON).await;
        let path = format!("{SMS_CHALLENGES}/{}", challenge.id);
        self.see(acme, "GET", &path, None, 200).await;
        self.see(acme, "PUT", &path, code(&challenge.wrong_code()), 403).await;
        self.see(acme, "PUT", &path, code(&challenge.code), 204).await;
        self.see(acme, "GET", &path, None, 404).await;
        self.see(acme, "PUT", &path, code(&challenge.code), 404).await;
    }

    async fn see_activation_codes(&mut self, acme: &TestClient) {
        let codes = ACTIVATION_CODES;
        let created = self.see(acme, "POST", codes, Some(activation_wish("eve")), 201).await.json();
        self.see(acme, "POST", codes, Some(activation_wish("eve")), 409).await;
        self.see(acme, "GET", codes, None, 200).await;
        self.see(acme, "GET", &format!("{codes}?filter[origin]=FAX"), None, 400).await;
        let path = format!("{codes}/{}", created["id"].as_str().unwrap());
        let events = format!("{path}/delivery_events");
        self.see(acme, "GET", &path, None, 200).await;
        for _ in 0..100 {
            self.see(acme, "POST", &events, Some(delivery_event()), 201).await;
        }
        self.see(acme, "POST", &events, Some(delivery_event()), 409).await;
        let listed = self.see(acme, "GET", &events, None, 200).await.json();
        self.see(acme, "GET", &format!("{events}/{}", listed[0]["id"].as_str().unwrap()), None, 200).await;
        self.see(acme, "DELETE", &path, None, 200).await;
        let unknown = format!("{codes}/{}", uuid::Uuid::nil());
        self.see(acme, "GET", &unknown, None, 404).await;
        self.see(acme, "DELETE", &unknown, None, 404).await;
        let events = format!("{unknown}/delivery_events");
        self.see(acme, "POST", &events, Some(delivery_event()), 404).await;
        self.see(acme, "GET", &events, None, 404).await;
        self.see(acme, "GET", &format!("{events}/{}", uuid::Uuid::nil()), None, 404).await;
    }

    async fn see_devices_and_keys(&mut self, app: &TestApp, acme: &TestClient, scene: &Scene) {
        let devices = "/v1/mfa/devices";
        self.see(acme, "POST", devices, Some(device_wish("unknown", 9)), 400).await;
        self.see(acme, "POST", devices, Some(device_wish(PERSON, 1)), 409).await;
        self.see(acme, "POST", devices, Some(device_wish(PERSON, 9)), 202).await;
        app.network(Network::Rejects);
        self.see(acme, "POST", devices, Some(device_wish(PERSON, 9)), 502).await;
        app.network(Network::Works);
        self.see(acme, "GET", devices, None, 200).await;

        let device = format!("{devices}/{}", scene.device);
        let keys = format!("{device}/keys");
        let vouched = |signer: u32| {
            let key = Phone::new(6).key();
            let signature =
                json!({"signature_key_purpose": "unrestricted", "signature": Phone::new(signer).sign(&key)});
            Some(json!({"key": key, "key_type": "ecdsa-p256", "device_signature": signature}))
        };
        self.see(acme, "POST", &keys, vouched(7), 403).await;
        let added = self.see(acme, "POST", &keys, vouched(1), 201).await.json();
        self.see(acme, "POST", &keys, vouched(1), 409).await;
        self.see(acme, "POST", &keys, Some(json!({})), 400).await;
        self.see(acme, "GET", &keys, None, 200).await;
        let key = format!("{keys}/{}", added["id"].as_str().unwrap());
        self.see(acme, "GET", &key, None, 200).await;
        self.see(acme, "GET", &device, None, 200).await;
        self.see(acme, "DELETE", &device, None, 204).await;
        self.see(acme, "DELETE", &device, None, 404).await;
        self.see(acme, "POST", &keys, vouched(1), 404).await;
        self.see(acme, "GET", &key, None, 404).await;
        let unknown = format!("{devices}/{}", scene.key);
        self.see(acme, "GET", &unknown, None, 404).await;
        self.see(acme, "GET", &format!("{unknown}/keys"), None, 404).await;
    }

    async fn see_a_cool_down(&mut self, acme: &TestClient) {
        let (first, second) = (Phone::new(71), Phone::new(72));
        acme.verified_person("hasty").await;
        let device = acme.bind("hasty", &first).await.id;
        let sms = acme.sms_challenge("hasty").await;
        let challenge = acme.ask_for_device("hasty", &second).await.id;
        let keys = format!("/v1/mfa/devices/{device}/keys");
        let vouched = json!({"signature_key_purpose": "unrestricted", "signature": first.sign("wrong")});
        let key = json!({"key": second.key(), "key_type": "ecdsa-p256", "device_signature": vouched});
        self.fail_on_the_device(acme, &device, &first).await;
        for _ in 0..5 {
            acme.post(&keys, key.clone()).await.assert_status(403);
        }
        let number = "/v1/persons/hasty/mobile_number";
        let confirmation = json!({"number": NUMBER, "token": "000000"});
        let answer = json!({"signature": second.sign("wrong")});
        self.see(acme, "POST", "/v1/mfa/devices", Some(device_wish("hasty", 72)), 429).await;
        self.see(acme, "PUT", &format!("/v1/mfa/challenges/signatures/{challenge}"), Some(answer), 429).await;
        self.see(acme, "POST", &keys, Some(key), 429).await;
        self.see(acme, "POST", SMS_CHALLENGES, Some(json!({"person_id": "hasty"})), 429).await;
        self.see(acme, "PUT", &format!("{SMS_CHALLENGES}/{}", sms.id), Some(json!({"code": sms.code})), 429).await;
        self.see(acme, "POST", &format!("{number}/authorize"), Some(json!({"number": NUMBER})), 429).await;
        self.see(acme, "POST", &format!("{number}/confirm"), Some(confirmation), 429).await;
    }

    /// Pauses a device.
    async fn fail_on_the_device(&mut self, acme: &TestClient, device: &str, phone: &Phone) {
        let mut paths = Vec::new();
        for _ in 0..3 {
            let opened = acme.post("/v1/mfa/challenges/devices", json!({"device_id": device})).await.json();
            paths.push(format!("/v1/mfa/challenges/devices/{}", opened["id"].as_str().unwrap()));
        }
        let answer = json!({"signature": phone.sign("wrong")});
        for path in [&paths[0], &paths[0], &paths[1], &paths[1], &paths[2]] {
            acme.put(path, answer.clone()).await.assert_status(403);
        }
        self.see(acme, "POST", "/v1/mfa/challenges/devices", Some(json!({"device_id": device})), 429).await;
        self.see(acme, "PUT", &paths[2], Some(answer), 429).await;
    }

    async fn see_tokens(&mut self, app: &TestApp) {
        for (secret, status) in [("sandbox", 200), ("wrong", 401)] {
            let json = json!({"grant_type": "client_credentials", "client_id": "sandbox", "client_secret": secret});
            self.see(&app.stranger(), "POST", "/oauth/token", Some(json), status).await;
            let form = format!("grant_type=client_credentials&client_id=sandbox&client_secret={secret}");
            let request = Request::post("/oauth2/token").body(Body::from(form)).unwrap();
            self.see_raw(&app.stranger(), request, status).await;
        }
    }

    async fn see_operator_routes(&mut self, app: &TestApp) {
        let paths = ["/healthz", "/readyz", "/openapi.yaml", "/docs", "/docs/swagger-ui.css", "/docs/index.css"];
        for path in paths {
            self.see(&app.stranger(), "GET", path, None, 200).await;
        }
        self.see(&app.stranger(), "GET", "/docs/nothing.css", None, 404).await;
    }

    /// In the sandbox, and in production.
    async fn see_sandbox_tools(&mut self, scene: &Scene, acme: &TestClient, production: Router) {
        for path in ["/sandbox/phone", "/sandbox/phone/main.js", "/sandbox/phone/base.css", "/sandbox/phone/icon.svg"] {
            self.see(acme, "GET", path, None, 200).await;
            self.see(&acme.through(production.clone()), "GET", path, None, 404).await;
        }
        for call in scene.calls().iter().filter(|call| call.path.starts_with("/sandbox/")) {
            self.see_call(acme, call, 200).await;
            self.see_call(&acme.through(production.clone()), call, 404).await;
        }
        self.see(acme, "GET", "/sandbox/messages?filter[to]=110", None, 400).await;
    }

    async fn see_an_outage(&mut self, scene: &Scene, app: &TestApp) {
        for call in scene.calls() {
            let needs_database = !["listSandboxMessages", "getSandboxClock"].contains(&call.operation);
            self.see_call(&app.partner(), &call, if needs_database { 503 } else { 200 }).await;
        }
        let json = json!({"grant_type": "client_credentials", "client_id": "a", "client_secret": "b"});
        self.see(&app.stranger(), "POST", "/oauth/token", Some(json), 503).await;
        let form = Body::from("grant_type=client_credentials&client_id=a&client_secret=b");
        self.see_raw(&app.stranger(), Request::post("/oauth2/token").body(form).unwrap(), 503).await;
        app.advance(TimeDelta::seconds(1));
        self.see(&app.stranger(), "GET", "/readyz", None, 503).await;
        self.see(&app.stranger(), "GET", "/healthz", None, 200).await;
    }
}
