//! The webhook provider, which posts to the operator's SMS gateway: its request, and the classification of the answers.

use aws_lc_rs::hmac;
use device_management::outbound::{self, HttpUrl};
use device_management::sms::gateway::{Gateway, GatewayAuth, GatewaySettings};
use device_management::sms::{Fault, HandedOver, SmsError, SmsSender};
use serde_json::{Value, json};
use std::time::Duration;
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::{CODE, NUMBER, REFERENCE, TEXT, assert_shows_none_of, shown, sms};
use crate::harness::faulty_server::{Behaviour, ClosedPort, FaultyServer};

const TOKEN: &str = "gateway-token";
const SECRET: &str = "gateway-hmac-secret";

fn bearer() -> GatewayAuth {
    GatewayAuth::Bearer(TOKEN.to_owned().into())
}

fn adapter(base: &str, auth: GatewayAuth) -> Gateway {
    let url = HttpUrl::parse(&format!("{base}/send/path-token?tenant=7")).unwrap();
    Gateway::new(GatewaySettings { url, auth }, outbound::client().unwrap()).unwrap()
}

async fn gateway(response: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(response).mount(&server).await;
    server
}

async fn answer(response: ResponseTemplate) -> Result<HandedOver, SmsError> {
    let server = gateway(response).await;
    adapter(&server.uri(), bearer()).send(&sms()).await
}

async fn send_to(behaviour: Behaviour) -> Result<HandedOver, SmsError> {
    let server = FaultyServer::start(behaviour).await;
    adapter(&server.url(), bearer()).send(&sms()).await
}

async fn request_with(auth: GatewayAuth) -> Request {
    let server = gateway(ResponseTemplate::new(202)).await;
    adapter(&server.uri(), auth).send(&sms()).await.unwrap();
    let mut requests = server.received_requests().await.unwrap();
    assert_eq!(requests.len(), 1);
    requests.remove(0)
}

#[tokio::test]
async fn the_message_is_posted_as_json_with_the_bearer_token() {
    let request = request_with(bearer()).await;
    assert_eq!(request.url.path(), "/send/path-token");
    assert_eq!(request.url.query(), Some("tenant=7"));
    assert_eq!(request.headers["content-type"], "application/json");
    assert_eq!(request.headers["authorization"], "Bearer gateway-token");
    assert_eq!(request.headers["user-agent"], concat!("device-management/", env!("CARGO_PKG_VERSION")));
    assert!(!request.headers.contains_key("x-signature"));
    let expected = json!({"to": NUMBER, "text": TEXT, "reference": REFERENCE});
    assert_eq!(request.body_json::<Value>().unwrap(), expected);
}

#[tokio::test]
async fn the_signature_is_the_hmac_of_the_body() {
    let request = request_with(GatewayAuth::Hmac(SECRET.to_owned().into())).await;
    assert!(!request.headers.contains_key("authorization"));
    let header = request.headers["x-signature"].to_str().unwrap();
    let signature = hex::decode(header.strip_prefix("sha256=").unwrap()).unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    hmac::verify(&key, &request.body, &signature).unwrap();
    assert_eq!(header, header.to_lowercase());
}

#[tokio::test]
async fn any_2xx_is_a_success_with_any_body() {
    for status in [200, 201, 202, 204] {
        let accepted = answer(ResponseTemplate::new(status).set_body_string("<oops>")).await.unwrap();
        assert_eq!(accepted, HandedOver { provider: "webhook", provider_message_id: None });
    }
    send_to(Behaviour::SlowBody(200)).await.unwrap();
    send_to(Behaviour::LargeBody(200, 10 << 20)).await.unwrap();
}

#[tokio::test]
async fn a_refused_number_is_rejected() {
    for status in [400, 410, 422, 451] {
        let error = answer(ResponseTemplate::new(status)).await.unwrap_err();
        assert!(matches!(error, SmsError::Rejected(Fault::Status { status: s }) if s == status), "{error:?}");
        assert!(!error.is_transient());
    }
}

#[tokio::test]
async fn a_429_or_408_is_throttled_with_its_retry_after() {
    let error = answer(ResponseTemplate::new(429).insert_header("retry-after", "7")).await.unwrap_err();
    assert!(
        matches!(error, SmsError::Throttled { retry_after: Some(pause), .. } if pause == Duration::from_secs(7)),
        "{error:?}"
    );
    let error = answer(ResponseTemplate::new(408)).await.unwrap_err();
    assert!(matches!(error, SmsError::Throttled { retry_after: None, .. }), "{error:?}");
}

#[tokio::test]
async fn a_409_is_uncertain() {
    let error = answer(ResponseTemplate::new(409)).await.unwrap_err();
    assert!(matches!(error, SmsError::Uncertain(Fault::Status { status: 409 })), "{error:?}");
}

#[tokio::test]
async fn refused_credentials_and_requests_are_misconfiguration() {
    for status in [401, 402, 403, 404, 413, 415] {
        let error = answer(ResponseTemplate::new(status)).await.unwrap_err();
        assert!(matches!(error, SmsError::Unavailable(Fault::Misconfigured { .. })), "{status}: {error:?}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = gateway(ResponseTemplate::new(200)).await;
    for status in [301, 302, 303, 307, 308] {
        let response = ResponseTemplate::new(status).insert_header("location", elsewhere.uri());
        let error = answer(response).await.unwrap_err();
        assert!(matches!(error, SmsError::Unavailable(_)), "{status}: {error:?}");
    }
    assert!(elsewhere.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_503_is_unavailable_and_any_other_5xx_is_uncertain() {
    let error = answer(ResponseTemplate::new(503)).await.unwrap_err();
    assert!(matches!(error, SmsError::Unavailable(_)), "{error:?}");
    for status in [500, 502, 504] {
        let error = answer(ResponseTemplate::new(status)).await.unwrap_err();
        assert!(matches!(error, SmsError::Uncertain(_)), "{status}: {error:?}");
    }
}

#[tokio::test]
async fn a_refused_connection_is_unavailable() {
    let closed = ClosedPort::take();
    let error = adapter(&closed.url(), bearer()).send(&sms()).await.unwrap_err();
    assert!(matches!(error, SmsError::Unavailable(Fault::NoConnection(_))), "{error:?}");
}

#[tokio::test]
async fn a_connection_lost_without_an_answer_is_uncertain() {
    for behaviour in [Behaviour::Close, Behaviour::CloseAfterRequest] {
        let error = send_to(behaviour.clone()).await.unwrap_err();
        assert!(matches!(error, SmsError::Uncertain(Fault::Interrupted(_))), "{behaviour:?}: {error:?}");
    }
}

#[tokio::test]
async fn an_answer_that_is_not_http_is_uncertain() {
    let error = send_to(Behaviour::Respond(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec())).await.unwrap_err();
    assert!(matches!(error, SmsError::Uncertain(Fault::Interrupted(_))), "{error:?}");
}

#[tokio::test]
async fn no_error_shows_the_number_the_text_a_secret_or_the_address() {
    let closed = ClosedPort::take();
    for error in [
        answer(ResponseTemplate::new(400).set_body_string(TEXT)).await.unwrap_err(),
        answer(ResponseTemplate::new(500).set_body_string(NUMBER)).await.unwrap_err(),
        send_to(Behaviour::CloseAfterRequest).await.unwrap_err(),
        adapter(&closed.url(), bearer()).send(&sms()).await.unwrap_err(),
    ] {
        assert_shows_none_of(&shown(&error), &[NUMBER, CODE, TOKEN, "path-token", "tenant"]);
    }
}

#[test]
fn a_token_that_is_not_a_valid_header_value_is_refused_at_the_start() {
    let url = HttpUrl::parse("https://sms.example").unwrap();
    let auth = GatewayAuth::Bearer("line\nbreak".to_owned().into());
    assert!(Gateway::new(GatewaySettings { url, auth }, outbound::client().unwrap()).is_err());
}

#[test]
fn debug_of_the_settings_shows_no_secret() {
    let url = HttpUrl::parse("https://sms.example/path-token").unwrap();
    for auth in [bearer(), GatewayAuth::Hmac(SECRET.to_owned().into())] {
        let shown = format!("{:?}", GatewaySettings { url: url.clone(), auth });
        assert_shows_none_of(&shown, &[TOKEN, SECRET, "path-token"]);
    }
}
