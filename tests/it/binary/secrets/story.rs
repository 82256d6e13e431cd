//! Requests that cover every use case and its failures.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::super::run;
use super::leaks::Needles;
use crate::harness::{Answer, Phone, Program, Service, TestClient};

const GATEWAY_TOKEN: &str = "gateway-5fb1c0b3f2a94d47";
const SEON_KEY: &str = "seon-9c3d1e0a7b62485f";
const NUMBER: &str = "+4915112345678";
const SIGNATURE: &str = include_str!("../../../../examples/verify-device.json");
const CREATE: &str = include_str!("../../../../examples/create-device.json");

/// The SMS gateway and SEON.
pub(super) struct Doubles {
    server: MockServer,
    gateway_status: Arc<AtomicU16>,
    seon_answer: Arc<Mutex<(u16, String)>>,
}

impl Doubles {
    pub(super) async fn start() -> Self {
        let server = MockServer::start().await;
        let gateway_status = Arc::new(AtomicU16::new(202));
        let status = gateway_status.clone();
        // The gateway echoes its request.
        let gateway = move |request: &wiremock::Request| {
            ResponseTemplate::new(status.load(Ordering::SeqCst)).set_body_bytes(request.body.clone())
        };
        Mock::given(method("POST")).and(path("/sms")).respond_with(gateway).mount(&server).await;
        let seon_answer = Arc::new(Mutex::new((200, approval())));
        let answer = seon_answer.clone();
        let seon = move |_: &wiremock::Request| {
            let (status, body) = answer.lock().unwrap().clone();
            ResponseTemplate::new(status).set_body_string(body)
        };
        Mock::given(path("/SeonRestService/fraud-api/v2")).respond_with(seon).mount(&server).await;
        Self { server, gateway_status, seon_answer }
    }

    pub(super) fn used_by(&self, program: Program) -> Program {
        program
            .with("SANDBOX_OTP", "random")
            .with("SMS_PROVIDERS", "webhook")
            .with("SMS_WEBHOOK_URL", &format!("{}/sms", self.server.uri()))
            .with("SMS_WEBHOOK_TOKEN", GATEWAY_TOKEN)
            .with("SEON_BASE_URL", &self.server.uri())
            .with("SEON_API_KEY", SEON_KEY)
            .with("DATABASE_ACQUIRE_TIMEOUT_SECONDS", "1")
    }

    fn gateway_answers(&self, status: u16) {
        self.gateway_status.store(status, Ordering::SeqCst);
    }

    fn seon_answers(&self, status: u16, body: &str) {
        *self.seon_answer.lock().unwrap() = (status, body.to_owned());
    }

    /// The code of the last message.
    async fn last_code(&self) -> String {
        let requests = self.server.received_requests().await.unwrap();
        let last = requests.iter().rfind(|request| request.url.path() == "/sms").unwrap();
        let message: Value = last.body_json().unwrap();
        let text = message["text"].as_str().unwrap();
        text.split(|c: char| !c.is_ascii_digit()).find(|digits| digits.len() == 6).unwrap().to_owned()
    }
}

fn approval() -> String {
    json!({"success": true, "data": {"state": "APPROVE", "id": "1", "fraud_score": 0}}).to_string()
}

/// The requests, the secrets in them, and the errors that clients got.
pub(super) struct Story<'a> {
    pub(super) needles: Needles,
    pub(super) errors: Vec<String>,
    service: &'a Service,
    doubles: &'a Doubles,
    id: String,
    secret: String,
    client: TestClient,
    device: String,
    device_data: String,
}

impl<'a> Story<'a> {
    /// The operator creates a client, which gets a token.
    pub(super) async fn begin(program: &Program, service: &'a Service, doubles: &'a Doubles) -> Self {
        let arguments = ["client", "create", "--partner", "bank", "--permission", "numbers:assert"];
        let (_, output) = run(program, &arguments);
        let value = |line: usize, name: &str| output[line].strip_prefix(name).unwrap().to_owned();
        let (id, secret) = (value(0, "client_id="), value(1, "client_secret="));
        let client = service.client(&id, &secret).await;
        let device_data = serde_json::from_str::<Value>(CREATE).unwrap()["device_data"].as_str().unwrap().to_owned();
        let mut needles = Needles::default();
        needles.secret("client secret", &secret);
        needles.secret("access token", client.token().unwrap());
        needles.secret("device data", &device_data);
        needles.secret("phone number", &NUMBER[3..]);
        needles.secret("gateway token", GATEWAY_TOKEN);
        needles.secret("SEON key", SEON_KEY);
        let (errors, device) = (Vec::new(), String::new());
        Self { needles, errors, service, doubles, id, secret, client, device, device_data }
    }

    /// Checks the status, and records an error answer.
    #[track_caller]
    fn expect(&mut self, status: u16, answer: Answer) -> Answer {
        answer.assert_status(status);
        if status >= 400 {
            self.errors.push(format!("{:?} {}", answer.headers, String::from_utf8_lossy(&answer.body)));
        }
        answer
    }

    async fn post(&mut self, status: u16, path: &str, body: Value) -> Answer {
        let answer = self.client.post(path, body).await;
        self.expect(status, answer)
    }

    async fn raw(&mut self, status: u16, request: Request<Body>) {
        let answer = self.client.request(request).await;
        self.expect(status, answer);
    }

    async fn see_code(&mut self) -> String {
        let code = self.doubles.last_code().await;
        self.needles.code(&code);
        code
    }

    /// Right and wrong credentials and tokens, in headers, bodies, paths and queries.
    pub(super) async fn tokens(&mut self) {
        let (id, secret) = (self.id.clone(), self.secret.clone());
        let grant =
            |secret: &str| json!({"grant_type": "client_credentials", "client_id": id, "client_secret": secret});
        let stranger = self.service.stranger();
        let wrong = format!("{}x", &secret[1..]);
        let answer = stranger.post("/oauth/token", grant(&wrong)).await;
        self.expect(401, answer);
        let basic = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, format!("{id}:{secret}"));
        self.needles.secret("client secret in Basic", &basic);
        for (credentials, form, status) in [
            (format!("Basic {basic}"), "grant_type=client_credentials".to_owned(), 200),
            (format!("Basic {basic}"), "grant_type=password".to_owned(), 400),
            (format!("Basic {basic}!"), "grant_type=client_credentials".to_owned(), 401),
            (format!("Digest {basic}"), format!("grant_type=client_credentials&client_secret={secret}"), 401),
        ] {
            let request = Request::post("/oauth2/token").header("authorization", credentials);
            let request = request.header("content-type", "application/x-www-form-urlencoded");
            self.raw(status, request.body(Body::from(form)).unwrap()).await;
        }
        let token = self.client.token().unwrap().to_owned();
        for header in [format!("Bearer {token}x"), format!("Bearer {}", &token[1..]), format!("Token {token}")] {
            let request = Request::get("/v1/mfa/devices").header("authorization", header);
            self.raw(401, request.body(Body::empty()).unwrap()).await;
        }
        for path in
            [format!("/v1/mfa/devices?access_token={token}"), format!("/v1/mfa/devices?filter[{token}]={secret}")]
        {
            let answer = self.client.get(&path).await;
            let status = answer.status.as_u16();
            self.expect(status, answer);
        }
        let answer = self.client.get(&format!("/{token}")).await;
        self.expect(404, answer);
    }

    /// A number, wrong codes, the right one.
    pub(super) async fn mobile_number(&mut self) {
        let of = |person: &str, rest: &str| format!("/v1/persons/{person}/mobile_number{rest}");
        self.post(400, &of("ada", ""), json!({"number": "+49 30 12345678"})).await;
        self.post(201, &of("ada", ""), json!({"number": "+49 151 1234-5678"})).await;
        self.post(409, &of("ada", ""), json!({"number": NUMBER})).await;
        self.doubles.gateway_answers(422);
        self.post(502, &of("ada", "/authorize"), json!({"number": NUMBER})).await;
        self.see_code().await;
        self.doubles.gateway_answers(202);
        self.post(201, &of("ada", "/authorize"), json!({"number": NUMBER})).await;
        let code = self.see_code().await;
        let wrong = if code == "000000" { "000001" } else { "000000" };
        self.needles.code(wrong);
        self.post(403, &of("ada", "/confirm"), json!({"number": NUMBER, "token": wrong})).await;
        self.post(400, &of("ada", "/confirm"), json!({"number": NUMBER, "token": format!("{code} ")})).await;
        self.post(201, &of("ada", "/confirm"), json!({"number": NUMBER, "token": code})).await;
    }

    fn device_body(&self, phone: &Phone) -> Value {
        json!({"person_id": "ada", "key_type": "ecdsa-p256", "key": phone.key(), "device_data": self.device_data})
    }

    /// Requests for a device while the gateway and SEON fail.
    pub(super) async fn binding(&mut self) {
        let device_body = self.device_body(&Phone::new(1));
        for (gateway, seon, seon_says, status) in [
            (422, 200, approval(), 502),
            (401, 200, approval(), 502),
            (500, 500, self.device_data.clone(), 202),
            (202, 200, format!("{{{}", self.device_data), 202),
            (
                202,
                200,
                json!({"success": false, "error": {"code": "2002", "message": self.device_data}}).to_string(),
                202,
            ),
            (202, 200, json!({"success": true, "data": {"state": self.device_data}}).to_string(), 202),
            (202, 200, approval(), 202),
        ] {
            self.doubles.gateway_answers(gateway);
            self.doubles.seon_answers(seon, &seon_says);
            let answer = self.post(status, "/v1/mfa/devices", device_body.clone()).await;
            self.see_code().await;
            if status == 202 {
                answer.json()["id"].as_str().unwrap().clone_into(&mut self.device);
            }
        }
        let mut unfit = device_body;
        unfit["key_type"] = json!(self.device_data);
        unfit["language"] = json!(NUMBER);
        self.post(400, "/v1/mfa/devices", unfit).await;
    }

    /// Answers to the challenge: malformed, wrong, right, and repeated.
    pub(super) async fn answers(&mut self) {
        let path = format!("/v1/mfa/challenges/signatures/{}", self.device);
        let phone = Phone::new(1);
        let code = self.see_code().await;
        let (right, wrong) = (phone.sign(&code), phone.sign("wrong"));
        let sample = serde_json::from_str::<Value>(SIGNATURE).unwrap()["signature"].as_str().unwrap().to_owned();
        for signature in [&right, &wrong, &sample] {
            self.needles.secret("signature", signature);
        }
        let longer = format!("{right}00");
        for (status, body) in [
            (400, json!({"signature": longer, "device_data": self.device_data})),
            (400, json!({"signature": format!("{right}zz")})),
            (400, json!({"signature": [right]})),
            (400, json!({"signature": "", "device_data": {"payload": self.device_data}})),
            (403, json!({"signature": wrong, "device_data": self.device_data})),
            (403, json!({"signature": sample})),
            (204, json!({"signature": right, "device_data": self.device_data})),
            (204, json!({"signature": right})),
            (404, json!({"signature": wrong})),
        ] {
            let answer = self.client.put(&path, body).await;
            self.expect(status, answer);
        }
    }

    /// Another key, vouched for by a wrong and by the right signature.
    pub(super) async fn keys(&mut self) {
        let path = format!("/v1/mfa/devices/{}/keys", self.device);
        let (phone, other) = (Phone::new(1), Phone::new(2));
        for (status, signature) in [(403, phone.sign("wrong key")), (201, phone.sign(&other.key()))] {
            self.needles.secret("signature for a key", &signature);
            let vouched = json!({"signature_key_purpose": "unrestricted", "signature": signature});
            let key = json!({"key_type": "ecdsa-p256", "key": other.key(), "device_signature": vouched, "device_data": self.device_data});
            self.post(status, &path, key).await;
        }
    }

    /// An SMS challenge, its code malformed, wrong and right.
    pub(super) async fn sms_challenge(&mut self) {
        let wish = json!({"person_id": "ada", "device_data": self.device_data});
        let opened = self.post(201, "/v1/mfa/challenges/sms", wish).await.json();
        let path = format!("/v1/mfa/challenges/sms/{}", opened["id"].as_str().unwrap());
        let code = self.see_code().await;
        let wrong = if code == "000000" { "000001" } else { "000000" };
        for (status, body) in [
            (400, json!({"code": format!("{code} ")})),
            (400, json!({"code": [code]})),
            (400, json!({"code": code, "tan": code})),
            (403, json!({"otp": wrong})),
            (204, json!({"tan": code})),
            (404, json!({"token": code})),
        ] {
            let answer = self.client.put(&path, body).await;
            self.expect(status, answer);
        }
    }

    /// Bodies that cannot be read.
    pub(super) async fn unreadable_bodies(&mut self) {
        let data = self.device_data.clone();
        for (status, content_type, body) in [
            (400, "application/json", format!("{{\"device_data\": \"{data}\", ")),
            (400, "application/json", format!("\"{data}\"")),
            (400, "application/json", format!("{{\"{data}\": 1}}")),
            (413, "application/json", format!("{{\"device_data\": \"{}\"}}", data.repeat(200))),
            (415, "text/plain", data.clone()),
        ] {
            let request = Request::post("/v1/mfa/devices").header("content-type", content_type);
            self.raw(status, request.body(Body::from(body)).unwrap()).await;
        }
    }

    /// A request over HTTP/2 and a malformed one, which the HTTP library handles.
    pub(super) async fn other_protocols(&mut self) {
        let token = self.client.token().unwrap();
        let http2 = reqwest::Client::builder().http2_prior_knowledge().no_proxy().build().unwrap();
        let request = http2.post(format!("{}/v1/mfa/devices", self.service.base_url())).bearer_auth(token);
        let answer = request.json(&self.device_body(&Phone::new(4))).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (202, reqwest::Version::HTTP_2));
        self.see_code().await;

        let mut stream = TcpStream::connect(self.service.base_url().trim_start_matches("http://")).unwrap();
        let token = self.client.token().unwrap();
        write!(stream, "GET /{token} HTTP/1.1\r\nauthorization: Bearer {token}\r\n{token} {token}\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        self.errors.push(answer);
    }

    /// Calls during an outage of the database.
    pub(super) async fn without_database(&mut self) {
        let (id, secret) = (self.id.clone(), self.secret.clone());
        let grant = json!({"grant_type": "client_credentials", "client_id": id, "client_secret": secret});
        self.post(503, "/oauth/token", grant).await;
        let device_body = self.device_body(&Phone::new(3));
        self.post(503, "/v1/mfa/devices", device_body).await;
        self.post(503, "/v1/persons/eve/mobile_number", json!({"number": NUMBER, "verified": true})).await;
        let path = format!("/v1/mfa/challenges/signatures/{}", self.device);
        let signature = Phone::new(1).sign("000000");
        self.needles.secret("signature", &signature);
        let answer = self.client.put(&path, json!({"signature": signature, "device_data": self.device_data})).await;
        self.expect(503, answer);
    }
}
