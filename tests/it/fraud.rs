//! The SEON client: its request, the classification of answers and failures, and the policy's decision.

use std::sync::Arc;
use std::time::Duration;

use device_management::fraud::checker::FraudChecker;
use device_management::fraud::disabled::Disabled;
use device_management::fraud::policy::{Decision, FraudMode, FraudPolicy, OnError};
use device_management::fraud::seon::{Seon, SeonSettings};
use device_management::fraud::{Assessment, FraudAction, FraudCheck, FraudError, FraudQuery, FraudState};
use device_management::outbound::{self, HttpUrl};
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::{Value, json};
use tokio::time::timeout;
use uuid::Uuid;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::harness::faulty_server::{Behaviour, ClosedPort, FaultyServer};
use crate::harness::log::Log;

const KEY: &str = "4f9c-licence-key";
const PAYLOAD: &str = "Web;179ac83968ab42f7con;jVl14emA+OcyALb9F+CMFg==;NU7aFh0jdzM15wj8";
const FREE_STRING: &str = "YW55IHN0cmluZyBwcm92aWRlZCBieSB0aGUgY2xpZW50Cg==";
const TRANSACTION: Uuid = Uuid::from_u128(0x0195_1f2e_7c3a_7d4b_8e5f_1234_5678_9abc);

/// A timeout that no answer on loopback exceeds.
const LONG_TIMEOUT: Duration = Duration::from_secs(5);

/// A short timeout, for servers that do not answer.
const SHORT_TIMEOUT: Duration = Duration::from_millis(150);

fn seon(base_url: &str, deadline: Duration) -> Seon {
    let base_url = HttpUrl::parse(base_url).unwrap();
    let settings = SeonSettings { base_url, api_key: KEY.to_owned().into(), deadline };
    Seon::new(settings, outbound::client().unwrap()).unwrap()
}

fn query(action: FraudAction, device_data: &str) -> FraudQuery<'_> {
    FraudQuery { action, person_id: "ec3d16cbc106f481cper", transaction_id: TRANSACTION, device_data }
}

fn binding() -> FraudQuery<'static> {
    query(FraudAction::DeviceBinding, PAYLOAD)
}

async fn answering(response: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST")).and(path("/SeonRestService/fraud-api/v2")).respond_with(response).mount(&server).await;
    server
}

async fn assess_json(answer: Value) -> Result<Option<Assessment>, FraudError> {
    let server = answering(ResponseTemplate::new(200).set_body_json(answer)).await;
    seon(&server.uri(), LONG_TIMEOUT).assess(&binding()).await
}

async fn assess_with(behaviour: Behaviour, deadline: Duration) -> FraudError {
    let server = FaultyServer::start(behaviour).await;
    let seon = seon(&server.url(), deadline);
    timeout(LONG_TIMEOUT + SHORT_TIMEOUT, seon.assess(&binding()))
        .await
        .expect("the check ends within its timeout")
        .unwrap_err()
}

fn truncated() -> Vec<u8> {
    b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"success\":true".to_vec()
}

fn approval() -> Value {
    json!({"success": true, "data": {"id": "6a1f", "state": "APPROVE", "fraud_score": 1}})
}

#[tokio::test]
async fn the_request_has_exactly_the_documented_fields() {
    let server = answering(ResponseTemplate::new(200).set_body_json(approval())).await;
    seon(&server.uri(), LONG_TIMEOUT).assess(&binding()).await.unwrap();
    let requests = server.received_requests().await.unwrap();
    let [request] = requests.as_slice() else { panic!("one request, not {}", requests.len()) };
    assert_eq!(request.url.path(), "/SeonRestService/fraud-api/v2");
    assert_eq!(request.headers["x-api-key"], KEY);
    assert_eq!(request.headers["content-type"], "application/json");
    assert_eq!(
        request.body_json::<Value>().unwrap(),
        json!({
            "config": {
                "device_fingerprinting": true,
                "ip_api": false,
                "email_api": false,
                "phone_api": false,
                "aml_api": false,
                "ignore_velocity_rules": false,
            },
            "action_type": "device_binding",
            "user_id": "ec3d16cbc106f481cper",
            "transaction_id": "01951f2e-7c3a-7d4b-8e5f-123456789abc",
            "session": PAYLOAD,
        })
    );
}

#[tokio::test]
async fn the_payload_is_forwarded_unchanged() {
    let server = answering(ResponseTemplate::new(200).set_body_json(approval())).await;
    let payload = "  Web;\"\\\u{e9}\u{1f600}\n;==  ";
    let query = query(FraudAction::DeviceBinding, payload);
    seon(&server.uri(), LONG_TIMEOUT).assess(&query).await.unwrap();
    let request = server.received_requests().await.unwrap().remove(0);
    assert_eq!(request.body_json::<Value>().unwrap()["session"], payload);
}

#[tokio::test]
async fn each_action_has_its_action_type() {
    let server = answering(ResponseTemplate::new(200).set_body_json(approval())).await;
    let seon = seon(&server.uri(), LONG_TIMEOUT);
    for action in [FraudAction::DeviceBinding, FraudAction::DeviceVerification, FraudAction::DeviceKeyCreation] {
        seon.assess(&query(action, PAYLOAD)).await.unwrap();
    }
    let requests = server.received_requests().await.unwrap();
    let names: Vec<Value> = requests.iter().map(|r| r.body_json::<Value>().unwrap()["action_type"].take()).collect();
    assert_eq!(names, ["device_binding", "device_verification", "device_key_creation"]);
}

#[tokio::test]
async fn state_score_and_id_are_read_from_the_answer() {
    for (word, state) in
        [("APPROVE", FraudState::Approve), ("REVIEW", FraudState::Review), ("DECLINE", FraudState::Decline)]
    {
        let answer = json!({"success": true, "error": {}, "data": {"id": "6a1f", "state": word, "fraud_score": 12.5}});
        let expected = Assessment { state, score: Some(12.5), provider_id: Some("6a1f".to_owned()) };
        assert_eq!(assess_json(answer).await.unwrap(), Some(expected));
    }
}

#[tokio::test]
async fn unknown_fields_are_ignored() {
    let answer = json!({
        "success": true,
        "new": [1, {"a": null}],
        "data": {"state": "REVIEW", "device_details": {"os": "iOS"}, "applied_rules": [{"score": "x"}]},
    });
    let expected = Assessment { state: FraudState::Review, score: None, provider_id: None };
    assert_eq!(assess_json(answer).await.unwrap(), Some(expected));
}

#[tokio::test]
async fn success_false_in_a_200_is_a_failure() {
    let answer = json!({"success": false, "error": {"code": "2002", "message": "key"}, "data": {"state": "APPROVE"}});
    let error = assess_json(answer).await.unwrap_err();
    assert!(matches!(error, FraudError::Unsuccessful { code: Some(ref code) } if code == "2002"), "{error:?}");
}

#[tokio::test]
async fn an_unknown_state_is_unreadable() {
    let error = assess_json(json!({"success": true, "data": {"state": "BLOCK"}})).await.unwrap_err();
    assert!(matches!(error, FraudError::Unreadable), "{error:?}");
}

#[tokio::test]
async fn any_other_status_is_a_refusal() {
    for status in [201, 204, 400, 401, 403, 404, 429, 500, 502, 503] {
        let server = answering(ResponseTemplate::new(status).set_body_json(approval())).await;
        let error = seon(&server.uri(), LONG_TIMEOUT).assess(&binding()).await.unwrap_err();
        assert!(matches!(error, FraudError::Refused { status: s } if s == status), "{status}: {error:?}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = answering(ResponseTemplate::new(200).set_body_json(approval())).await;
    let target = format!("{}/SeonRestService/fraud-api/v2", elsewhere.uri());
    let server = answering(ResponseTemplate::new(307).insert_header("location", target)).await;
    let error = seon(&server.uri(), LONG_TIMEOUT).assess(&binding()).await.unwrap_err();
    assert!(matches!(error, FraudError::Refused { status: 307 }), "{error:?}");
    assert!(elsewhere.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_body_that_is_not_the_expected_json_is_unreadable() {
    for body in ["", "<html>", "{\"success\":true,", "[]", "null", "\u{0}"] {
        let server = answering(ResponseTemplate::new(200).set_body_string(body)).await;
        let error = seon(&server.uri(), LONG_TIMEOUT).assess(&binding()).await.unwrap_err();
        assert!(matches!(error, FraudError::Unreadable), "{body:?}: {error:?}");
    }
}

#[tokio::test]
async fn an_answer_up_to_the_size_limit_is_read() {
    for (size, readable) in [(256 * 1024, true), (256 * 1024 + 1, false)] {
        let mut body = approval().to_string();
        body.push_str(&" ".repeat(size - body.len()));
        let server = answering(ResponseTemplate::new(200).set_body_string(body)).await;
        let result = seon(&server.uri(), LONG_TIMEOUT).assess(&binding()).await;
        match result {
            Ok(Some(_)) => assert!(readable, "{size}"),
            Err(FraudError::TooLarge) => assert!(!readable, "{size}"),
            other => panic!("{size}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn an_answer_over_the_size_limit_is_not_read_to_its_end() {
    let server = FaultyServer::start(Behaviour::LargeBody(200, 10 << 20)).await;
    let error = seon(&server.url(), LONG_TIMEOUT).assess(&binding()).await.unwrap_err();
    assert!(matches!(error, FraudError::TooLarge), "{error:?}");
}

#[tokio::test]
async fn a_server_that_does_not_finish_its_head_causes_a_timeout() {
    assert!(matches!(assess_with(Behaviour::Hang, SHORT_TIMEOUT).await, FraudError::Timeout));
    assert!(matches!(assess_with(Behaviour::SlowHead, SHORT_TIMEOUT).await, FraudError::Timeout));
}

#[tokio::test]
async fn the_timeout_covers_the_body() {
    assert!(matches!(assess_with(Behaviour::SlowBody(200), SHORT_TIMEOUT).await, FraudError::Timeout));
}

#[tokio::test]
async fn a_lost_connection_is_unreachable_and_not_a_timeout() {
    for behaviour in [
        Behaviour::Close,
        Behaviour::CloseAfterRequest,
        Behaviour::Reset,
        Behaviour::ResetAfterRequest,
        Behaviour::Respond(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
        Behaviour::Respond(vec![b'x'; 10 << 20]),
        Behaviour::Respond(truncated()),
    ] {
        let error = assess_with(behaviour.clone(), LONG_TIMEOUT).await;
        assert!(matches!(error, FraudError::Unreachable(_)), "{:.60}: {error:?}", format!("{behaviour:?}"));
    }
    let closed = ClosedPort::take();
    let error = seon(&closed.url(), LONG_TIMEOUT).assess(&binding()).await.unwrap_err();
    assert!(matches!(error, FraudError::Unreachable(_)), "{error:?}");
}

#[tokio::test]
async fn a_verification_is_assessed_only_with_a_payload_of_seons_shape() {
    let server = answering(ResponseTemplate::new(200).set_body_json(approval())).await;
    let seon = seon(&server.uri(), LONG_TIMEOUT);
    let verification = |data| query(FraudAction::DeviceVerification, data);
    assert_eq!(seon.assess(&verification(FREE_STRING)).await.unwrap(), None);
    assert!(server.received_requests().await.unwrap().is_empty());
    assert!(seon.assess(&verification(PAYLOAD)).await.unwrap().is_some());
}

#[tokio::test]
async fn a_binding_or_a_new_key_is_assessed_with_any_payload() {
    let server = answering(ResponseTemplate::new(200).set_body_json(approval())).await;
    let seon = seon(&server.uri(), LONG_TIMEOUT);
    for action in [FraudAction::DeviceBinding, FraudAction::DeviceKeyCreation] {
        assert!(seon.assess(&query(action, FREE_STRING)).await.unwrap().is_some(), "{action:?}");
    }
}

#[tokio::test]
async fn no_error_shows_the_payload_the_key_or_the_answer() {
    let refusal = format!("HTTP/1.1 400 {KEY}\r\n\r\n{PAYLOAD}").into_bytes();
    let mut errors = vec![
        assess_with(Behaviour::Hang, SHORT_TIMEOUT).await,
        assess_with(Behaviour::CloseAfterRequest, LONG_TIMEOUT).await,
        assess_with(Behaviour::Respond(refusal), LONG_TIMEOUT).await,
        assess_with(Behaviour::Respond(truncated()), LONG_TIMEOUT).await,
    ];
    let echo = json!({"success": false, "error": {"code": PAYLOAD, "message": KEY}});
    errors.push(assess_json(echo).await.unwrap_err());
    errors.push(assess_json(json!({"success": true, "data": {"state": PAYLOAD}})).await.unwrap_err());
    for error in errors {
        let mut shown = format!("{error:?} {error}");
        let mut cause = std::error::Error::source(&error);
        while let Some(inner) = cause {
            shown.push_str(&inner.to_string());
            cause = inner.source();
        }
        for secret in [PAYLOAD, KEY, "SeonRestService"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
    assert!(!format!("{:?}", binding()).contains(PAYLOAD));
}

#[test]
fn an_api_key_that_is_not_a_valid_header_value_is_refused_at_the_start() {
    let base_url = HttpUrl::parse("https://api.seon.io").unwrap();
    let settings = SeonSettings { base_url, api_key: "line\nbreak".to_owned().into(), deadline: LONG_TIMEOUT };
    assert!(Seon::new(settings, outbound::client().unwrap()).is_err());
}

#[tokio::test]
async fn without_a_fraud_check_there_is_no_judgement() {
    let policy = FraudPolicy { mode: FraudMode::Enforce, on_error: OnError::Deny };
    let checker = FraudChecker::new(Arc::new(Disabled), policy);
    assert!(checker.judge(&binding()).await.is_none());
}

#[tokio::test]
async fn the_checker_decides_by_the_policy_and_counts() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let answer = json!({"success": true, "data": {"state": "DECLINE"}});
    let server = answering(ResponseTemplate::new(200).set_body_json(answer)).await;
    for (mode, expected) in [(FraudMode::Observe, Decision::Allow), (FraudMode::Enforce, Decision::Deny)] {
        let policy = FraudPolicy { mode, on_error: OnError::Allow };
        let checker = FraudChecker::new(Arc::new(seon(&server.uri(), LONG_TIMEOUT)), policy);
        let judgement = checker.judge(&binding()).await.unwrap();
        assert_eq!((judgement.state(), judgement.decision), ("decline", expected));
    }
    let metrics = recorder.handle().render();
    assert!(metrics.contains(r#"fraud_checks_total{action="device_binding",state="decline"} 2"#), "{metrics}");
    assert!(metrics.contains("fraud_check_duration_seconds_count 2"), "{metrics}");
}

#[tokio::test]
async fn a_failed_check_is_judged_counted_and_logged_without_the_payload() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let log = Log::text();
    let server = FaultyServer::start(Behaviour::Hang).await;
    for (on_error, expected) in [(OnError::Allow, Decision::Allow), (OnError::Deny, Decision::Deny)] {
        let policy = FraudPolicy { mode: FraudMode::Enforce, on_error };
        let checker = FraudChecker::new(Arc::new(seon(&server.url(), SHORT_TIMEOUT)), policy);
        let judgement = checker.judge(&binding()).await.unwrap();
        assert_eq!((judgement.state(), judgement.decision), ("timeout", expected));
        assert!(judgement.latency >= SHORT_TIMEOUT);
    }
    let metrics = recorder.handle().render();
    assert!(metrics.contains(r#"fraud_checks_total{action="device_binding",state="timeout"} 2"#), "{metrics}");
    let lines = log.contents();
    assert!(lines.contains("01951f2e-7c3a-7d4b-8e5f-123456789abc"), "{lines}");
    assert!(lines.contains("the fraud check timed out"), "{lines}");
    assert!(!lines.contains(PAYLOAD), "{lines}");
}
