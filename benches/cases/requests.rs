//! Whole requests through the router, with a stub of the store: routing, middleware, token, JSON in and out, and the
//! use case. The cases cover every body of the API, in requests and in answers.

use std::rc::Rc;

use axum::http::Method;
use serde_json::{Value, json};

use super::Case;
use super::approvals::APPROVAL;
use super::canned_store::CannedStore;
use super::edge::{Answer, Edge, Sent};
use super::world::{self, CHALLENGE, KEY, NUMBER, PERSON, Phone, TOKEN};

/// With every optional field.
const BINDING: &str = include_str!("../../examples/create-device.json");

pub(super) fn cases() -> Vec<Case> {
    let app = world::app(CannedStore::new());
    let token = world::token(&app);
    let (code, number_code) = (world::code(&app, CHALLENGE), world::code(&app, TOKEN));
    let edge = Rc::new(Edge::open(app));
    let door = edge.clone();
    let mut cases =
        vec![Case::new("auth/bearer_token", move || door.lets_in(&token), |is_let_in| is_let_in), alive(&edge)];
    cases.extend(of_devices(&edge, &code));
    cases.extend(of_keys(&edge));
    cases.extend(of_numbers(&edge, &number_code));
    cases.extend(of_device_challenges(&edge));
    cases.extend(of_other_challenges(&edge, &number_code));
    cases.extend(of_tokens(&edge));
    cases
}

/// The cost of the router and the middleware alone.
fn alive(edge: &Rc<Edge>) -> Case {
    let sent = edge.get("/healthz");
    case(edge, "request/alive", sent, |answer| answer.says(200, "/status", "ok"))
}

fn of_devices(edge: &Rc<Edge>, code: &str) -> Vec<Case> {
    let phone = Phone::bound();
    let challenge = format!("/v1/mfa/challenges/signatures/{CHALLENGE}");
    let device = format!("/v1/mfa/devices/{CHALLENGE}");
    let without_it = Rc::new(Edge::open(world::app(CannedStore::without_the_device())));
    let ten = format!("/v1/mfa/devices?filter[person_id]={PERSON}&page[size]=10");
    let bind = || edge.post("/v1/mfa/devices", &BINDING);
    let all_wrong = json!({
        "person_id": "", "key_type": "rsa", "challenge_type": 1, "key": "04", "key_purpose": "any", "name": " x",
        "sms_challenge": {"app_signature": "short"}, "language": "xx", "device_data": [],
    });
    let sign = |text: &str| edge.put(&challenge, &json!({"signature": phone.sign(text)}));
    vec![
        case(edge, "request/bind_device", bind(), |answer| answer.says(202, "/challenge/type", "signature")),
        case(edge, "request/bind_device_once", bind().with("idempotency-key", "one-of-a-kind"), |answer| {
            answer.says(202, "/challenge/type", "signature")
        }),
        case(edge, "request/bind_device_all_wrong", edge.post("/v1/mfa/devices", &all_wrong), |answer| {
            answer.says(400, "/errors/8/source/field", "device_data")
        }),
        case(edge, "request/challenge", edge.get(&challenge), |answer| answer.says(200, "/type", "signature")),
        case(edge, "request/verify_signature", sign(code), |answer| answer.is_empty(204)),
        case(edge, "request/verify_signature_wrong", sign("not the code"), |answer| {
            answer.says(403, "/errors/0/code", "invalid_tan")
        }),
        case(edge, "request/device", edge.get(&device), |answer| answer.says(200, "/person_id", PERSON)),
        case(&without_it, "request/device_unknown", edge.get(&device), |answer| {
            answer.says(404, "/errors/0/code", "not_found")
        }),
        case(edge, "request/device_list_of_ten", edge.get(&ten), |answer| answer.says(200, "/9/person_id", PERSON)),
        case(edge, "request/delete_device", edge.request(Method::DELETE, &device), |answer| answer.is_empty(204)),
    ]
}

fn of_keys(edge: &Rc<Edge>) -> Vec<Case> {
    let (phone, other) = (Phone::bound(), Phone::other());
    let keys = format!("/v1/mfa/devices/{CHALLENGE}/keys");
    let new_key = json!({
        "key": other.key(),
        "key_type": "ecdsa-p256",
        "device_signature": {"signature_key_purpose": "unrestricted", "signature": phone.sign(&other.key())},
    });
    let minted = world::minted().to_string();
    vec![
        case(edge, "request/add_key", edge.post(&keys, &new_key), move |answer| answer.says(201, "/id", &minted)),
        case(edge, "request/key_list", edge.get(&keys), |answer| answer.says(200, "/0/keys/0/key_type", "ecdsa-p256")),
        case(edge, "request/key", edge.get(&format!("{keys}/{KEY}")), |answer| {
            answer.says(200, "/key_type", "ecdsa-p256")
        }),
    ]
}

fn of_numbers(edge: &Rc<Edge>, code: &str) -> Vec<Case> {
    let number = format!("/v1/persons/{PERSON}/mobile_number");
    let create = edge.post(&number, &json!({"number": NUMBER}));
    let authorize = edge.post(&format!("{number}/authorize"), &json!({"number": NUMBER, "language": "en"}));
    let confirm = edge.post(&format!("{number}/confirm"), &json!({"number": NUMBER, "token": code}));
    let delete = edge.request(Method::DELETE, &number).json(&json!({"number": NUMBER}));
    let is_number = |status| move |answer: &Answer| answer.says(status, "/number", NUMBER);
    vec![
        case(edge, "request/create_number", create, is_number(201)),
        case(edge, "request/number", edge.get(&number), is_number(200)),
        case(edge, "request/authorize_number", authorize, is_number(201)),
        case(edge, "request/confirm_number", confirm, is_number(201)),
        case(edge, "request/delete_number", delete, is_number(200)),
    ]
}

fn of_device_challenges(edge: &Rc<Edge>) -> Vec<Case> {
    let phone = Phone::bound();
    let (challenges, text) = ("/v1/mfa/challenges/devices", world::text_to_sign(None));
    let challenge = format!("{challenges}/{CHALLENGE}");
    let log_in = || edge.post(challenges, &json!({"device_id": CHALLENGE.to_string()}));
    let approval: Value = serde_json::from_str(APPROVAL).expect("JSON");
    let to_approve = edge.post(challenges, &json!({"device_id": CHALLENGE.to_string(), "approval": approval}));
    let sign = |text: &str| edge.put(&challenge, &json!({"signature": phone.sign(text)}));
    let declined = json!({
        "signature": phone.sign(text.declining().as_str()), "decision": "declined", "reason": "not_me",
    });
    let is_open = |answer: &Answer| answer.says(201, "/type", "device");
    vec![
        case(edge, "request/open_device_challenge", log_in(), is_open),
        case(edge, "request/open_device_challenge_once", log_in().with("idempotency-key", "one-of-a-kind"), is_open),
        case(edge, "request/open_approval", to_approve, |answer| answer.says(201, "/approval/action", "payment")),
        case(edge, "request/device_challenge", edge.get(&challenge), |answer| answer.says(200, "/type", "device")),
        case(edge, "request/approve", sign(text.as_str()), |answer| answer.is_empty(204)),
        case(edge, "request/decline", edge.put(&challenge, &declined), |answer| answer.is_empty(204)),
        case(edge, "request/approve_wrong", sign("another text"), |answer| {
            answer.says(403, "/errors/0/code", "invalid_tan")
        }),
    ]
}

/// SMS challenges and activation codes.
fn of_other_challenges(edge: &Rc<Edge>, code: &str) -> Vec<Case> {
    let open = edge.post("/v1/mfa/challenges/sms", &json!({"person_id": PERSON, "language": "en"}));
    let answer = edge.put(&format!("/v1/mfa/challenges/sms/{TOKEN}"), &json!({"code": code}));
    let activation = json!({
        "person_id": PERSON, "origin": "WEB", "purpose": "DEVICE_BINDING", "delivery_method": "SNAILMAIL",
    });
    let activation = edge.post("/v1/mfa/challenges/activation", &activation);
    vec![
        case(edge, "request/open_sms_challenge", open, |answer| answer.says(201, "/type", "sms")),
        case(edge, "request/answer_sms_challenge", answer, |answer| answer.is_empty(204)),
        case(edge, "request/create_activation_code", activation, |answer| answer.says(201, "/person_id", PERSON)),
    ]
}

fn of_tokens(edge: &Rc<Edge>) -> Vec<Case> {
    let credentials = json!({"grant_type": "client_credentials", "client_id": "sandbox", "client_secret": "sandbox"});
    let refused = edge.get("/v1/mfa/devices").with("authorization", "Bearer eyJhbGciOiJub25lIn0.e30.");
    vec![
        case(edge, "request/token", edge.post("/oauth/token", &credentials), |answer| {
            answer.says(200, "/token_type", "bearer")
        }),
        case(edge, "request/token_refused", refused, |answer| answer.says(401, "/errors/0/code", "invalid_token")),
    ]
}

fn case(edge: &Rc<Edge>, name: &'static str, sent: Sent, is_right: impl Fn(&Answer) -> bool + 'static) -> Case {
    let edge = edge.clone();
    Case::new(name, move || edge.send(&sent), move |answer| is_right(&answer))
}
