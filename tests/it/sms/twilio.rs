//! The Twilio provider: the request to the Messages resource, and the classification of its answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use device_management::outbound::{self, HttpUrl};
use device_management::sms::circuit::CircuitSettings;
use device_management::sms::providers::{AfterUncertain, Provider, Providers, ProvidersSettings};
use device_management::sms::twilio::{Twilio, TwilioSender, TwilioSettings};
use device_management::sms::twilio_errors::{Blame, Numbers, TABLE};
use device_management::sms::{Fault, HandedOver, SmsError, SmsSender};
use serde_json::json;
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::{CODE, NUMBER, TEXT, assert_shows_none_of, shown, sms};
use crate::harness::faulty_server::{Behaviour, ClosedPort, FaultyServer};

const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
const TOKEN: &str = "twilio-auth-token";

fn settings(base: &str, sender: TwilioSender) -> TwilioSettings {
    let base_url = HttpUrl::parse(base).unwrap();
    TwilioSettings { base_url, account_sid: ACCOUNT.to_owned(), auth_token: TOKEN.to_owned().into(), sender }
}

fn twilio(base: &str) -> Twilio {
    Twilio::new(settings(base, TwilioSender::From("+15005550006".to_owned())), outbound::client().unwrap())
}

async fn account(response: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(response).mount(&server).await;
    server
}

async fn answer(response: ResponseTemplate) -> Result<HandedOver, SmsError> {
    let server = account(response).await;
    twilio(&server.uri()).send(&sms()).await
}

async fn send_to(behaviour: Behaviour) -> Result<HandedOver, SmsError> {
    let server = FaultyServer::start(behaviour).await;
    twilio(&server.url()).send(&sms()).await
}

fn created() -> ResponseTemplate {
    ResponseTemplate::new(201).set_body_json(json!({"sid": "SM42", "status": "queued", "body": TEXT, "to": NUMBER}))
}

fn refusal(status: u16, code: u32) -> ResponseTemplate {
    let message = format!("The 'To' number {NUMBER} is not a valid phone number.");
    ResponseTemplate::new(status).set_body_json(json!({"code": code, "message": message, "status": status}))
}

fn half_an_answer() -> Vec<u8> {
    b"HTTP/1.1 201 Created\r\ncontent-length: 99\r\n\r\n{\"sid\":".to_vec()
}

async fn request_from(sender: TwilioSender) -> Request {
    let server = account(created()).await;
    Twilio::new(settings(&server.uri(), sender), outbound::client().unwrap()).send(&sms()).await.unwrap();
    let mut requests = server.received_requests().await.unwrap();
    assert_eq!(requests.len(), 1);
    requests.remove(0)
}

fn form(request: &Request) -> BTreeMap<String, String> {
    form_urlencoded::parse(&request.body).into_owned().collect()
}

fn fields(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn the_message_is_posted_as_a_form_with_basic_credentials() {
    let request = request_from(TwilioSender::From("Sandbox".to_owned())).await;
    assert_eq!(request.url.path(), format!("/2010-04-01/Accounts/{ACCOUNT}/Messages.json"));
    assert_eq!(request.headers["content-type"], "application/x-www-form-urlencoded");
    // Base64 of AC0123456789abcdef0123456789abcdef:twilio-auth-token
    let credentials = "Basic QUMwMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZjp0d2lsaW8tYXV0aC10b2tlbg==";
    assert_eq!(request.headers["authorization"], credentials);
    assert_eq!(form(&request), fields(&[("To", NUMBER), ("From", "Sandbox"), ("Body", TEXT)]));
}

#[tokio::test]
async fn a_messaging_service_replaces_the_sender() {
    let request = request_from(TwilioSender::MessagingService("MG77".to_owned())).await;
    assert_eq!(form(&request), fields(&[("To", NUMBER), ("MessagingServiceSid", "MG77"), ("Body", TEXT)]));
}

#[tokio::test]
async fn a_created_message_is_accepted_under_its_sid() {
    let accepted = answer(created()).await.unwrap();
    assert_eq!(accepted, HandedOver { provider: "twilio", provider_message_id: Some("SM42".to_owned()) });
}

#[tokio::test]
async fn a_number_that_twilio_cannot_reach_is_rejected_with_its_code() {
    for code in [21211, 21614, 21610, 21635] {
        let error = answer(refusal(400, code)).await.unwrap_err();
        assert!(matches!(error, SmsError::Rejected(Fault::Code { status: 400, code: c }) if c == code), "{error:?}");
    }
}

#[tokio::test]
async fn an_error_of_the_account_or_route_fails_over_to_the_next_provider() {
    let next = account(created()).await;
    for code in [21408, 21601, 21210, 21267, 21612, 21212, 21606, 29_999] {
        let first = account(refusal(400, code)).await;
        let provider = |name, server: &MockServer| Provider { name, sender: Arc::new(twilio(&server.uri())) };
        let list = vec![provider("first", &first), provider("next", &next)];
        let settings = ProvidersSettings {
            attempt_deadline: Duration::from_secs(10),
            after_uncertain: AfterUncertain::Stop,
            circuit: CircuitSettings { failures: 0, cool_off: Duration::ZERO },
        };
        Providers::new(list, settings).unwrap().send(&sms()).await.unwrap_or_else(|error| panic!("{code}: {error:?}"));
    }
}

#[test]
fn the_operators_page_prints_the_table_of_error_numbers() {
    let page = include_str!("../../../docs/operations.md");
    let section = page.split("### Twilio").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("the section");
    let printed: Vec<_> =
        section.lines().filter(|line| line.starts_with("| ") && line.contains(char::is_numeric)).collect();
    let row = |numbers: &Numbers| {
        let codes = numbers.codes.iter().map(|codes| match (codes.start(), codes.end()) {
            (first, last) if first == last => first.to_string(),
            (first, last) => format!("{first} to {last}"),
        });
        let taken_for = match numbers.blame {
            Blame::Number => "`rejected`",
            Blame::Rate => "`throttled`",
            Blame::Account => "`unavailable`, logged as misconfiguration",
            Blame::Route => "`unavailable` for this number only",
        };
        format!("| {} | {} | {taken_for} |", codes.collect::<Vec<_>>().join(", "), numbers.meaning)
    };
    assert_eq!(printed, TABLE.iter().map(row).collect::<Vec<_>>());
}

#[test]
fn each_error_number_is_in_the_table_once() {
    let mut codes: Vec<u32> = TABLE.iter().flat_map(|numbers| numbers.codes).cloned().flatten().collect();
    let all = codes.len();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), all);
}

#[tokio::test]
async fn too_many_requests_are_throttled() {
    let error = answer(refusal(429, 20429).insert_header("retry-after", "3")).await.unwrap_err();
    assert!(
        matches!(error, SmsError::Throttled { retry_after: Some(pause), .. } if pause == Duration::from_secs(3)),
        "{error:?}"
    );
    let error = answer(ResponseTemplate::new(429)).await.unwrap_err();
    assert!(matches!(error, SmsError::Throttled { retry_after: None, .. }), "{error:?}");
}

#[tokio::test]
async fn wrong_credentials_and_unknown_accounts_are_misconfiguration() {
    for (status, code) in [(401, 20003), (404, 20404)] {
        let error = answer(refusal(status, code)).await.unwrap_err();
        let expected =
            |f: &Fault| matches!(f, Fault::Misconfigured { status: s, code: Some(c) } if *s == status && *c == code);
        assert!(matches!(error, SmsError::Unavailable(ref fault) if expected(fault)), "{error:?}");
    }
}

#[tokio::test]
async fn a_5xx_of_twilio_is_uncertain_except_503() {
    for response in [ResponseTemplate::new(500), refusal(500, 20500), ResponseTemplate::new(502)] {
        let error = answer(response).await.unwrap_err();
        assert!(matches!(error, SmsError::Uncertain(_)), "{error:?}");
    }
    for response in [ResponseTemplate::new(503), refusal(503, 20503)] {
        let error = answer(response).await.unwrap_err();
        assert!(matches!(error, SmsError::Unavailable(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_success_without_a_sid_is_uncertain() {
    for body in ["", "<html>", "{}", r#"{"sid":1}"#, "[]"] {
        let error = answer(ResponseTemplate::new(201).set_body_string(body)).await.unwrap_err();
        assert!(matches!(error, SmsError::Uncertain(Fault::Unreadable { status: 201 })), "{body:?}: {error:?}");
    }
    let error = send_to(Behaviour::LargeBody(201, 10 << 20)).await.unwrap_err();
    assert!(matches!(error, SmsError::Uncertain(Fault::Unreadable { status: 201 })), "{error:?}");
}

#[tokio::test]
async fn a_refusal_without_a_readable_error_number_is_unavailable() {
    let garbage = send_to(Behaviour::LargeBody(400, 10 << 20)).await.unwrap_err();
    assert!(matches!(garbage, SmsError::Unavailable(Fault::Status { status: 400 })), "{garbage:?}");
    let cut = send_to(Behaviour::Respond(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 99\r\n\r\n{".to_vec()))
        .await
        .unwrap_err();
    assert!(matches!(cut, SmsError::Unavailable(Fault::Status { status: 400 })), "{cut:?}");
}

#[tokio::test]
async fn a_connection_lost_after_the_request_is_uncertain() {
    for behaviour in [Behaviour::CloseAfterRequest, Behaviour::Respond(half_an_answer())] {
        let error = send_to(behaviour.clone()).await.unwrap_err();
        assert!(matches!(error, SmsError::Uncertain(Fault::Interrupted(_))), "{behaviour:?}: {error:?}");
    }
}

#[tokio::test]
async fn a_refused_connection_is_unavailable() {
    let closed = ClosedPort::take();
    let error = twilio(&closed.url()).send(&sms()).await.unwrap_err();
    assert!(matches!(error, SmsError::Unavailable(Fault::NoConnection(_))), "{error:?}");
}

#[tokio::test]
async fn no_error_shows_the_number_the_text_or_the_credentials() {
    for error in [
        answer(refusal(400, 21211)).await.unwrap_err(),
        answer(refusal(401, 20003)).await.unwrap_err(),
        answer(ResponseTemplate::new(201).set_body_string(TEXT)).await.unwrap_err(),
        send_to(Behaviour::CloseAfterRequest).await.unwrap_err(),
        send_to(Behaviour::Respond(half_an_answer())).await.unwrap_err(),
    ] {
        assert_shows_none_of(&shown(&error), &[NUMBER, CODE, TOKEN, ACCOUNT]);
    }
    let shown = format!("{:?}", settings("https://api.twilio.com", TwilioSender::From("Sandbox".to_owned())));
    assert_shows_none_of(&shown, &[TOKEN]);
}
