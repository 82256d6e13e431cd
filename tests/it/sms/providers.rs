//! Failover: the outcomes after which the next provider is asked, and those after which none is.

use device_management::sms::circuit::CircuitSettings;
use device_management::sms::providers::{AfterUncertain, Providers, ProvidersSettings};
use device_management::sms::{HandedOver, SmsError, SmsSender};
use metrics_exporter_prometheus::PrometheusBuilder;

use super::scripted::{Does, Scripted};
use super::{CODE, NUMBER, REFERENCE, SHORT_TIMEOUT, assert_shows_none_of, sms};
use crate::harness::log::Log;

/// A circuit breaker that never opens.
const NEVER: CircuitSettings = CircuitSettings { failures: 0, cool_off: SHORT_TIMEOUT };

/// Sends one message through scripted providers. Returns the outcome, and how often each provider was asked.
async fn send(script: [Does; 3], after_uncertain: AfterUncertain) -> (Result<HandedOver, SmsError>, [usize; 3]) {
    let mut names = ["first", "second", "third"].into_iter();
    let scripted = script.map(|does| Scripted::new(names.next().unwrap(), does));
    let list = scripted.iter().map(Scripted::provider).collect();
    let settings = ProvidersSettings { attempt_deadline: SHORT_TIMEOUT, after_uncertain, circuit: NEVER };
    let outcome = Providers::new(list, settings).unwrap().send(&sms()).await;
    (outcome, scripted.map(|double| double.asked()))
}

#[track_caller]
fn check(found: &(Result<HandedOver, SmsError>, [usize; 3]), outcome: &str, asked: [usize; 3]) {
    let word = match &found.0 {
        Ok(accepted) => accepted.provider,
        Err(error) => error.outcome(),
    };
    assert_eq!((word, found.1), (outcome, asked));
}

#[tokio::test]
async fn no_provider_is_asked_after_one_has_taken_the_message() {
    check(&send([Does::Accept, Does::Accept, Does::Accept], AfterUncertain::Stop).await, "first", [1, 0, 0]);
}

#[tokio::test]
async fn after_an_unavailable_or_throttling_provider_the_next_is_asked() {
    for does in [Does::Fail, Does::Throttle, Does::Refuse] {
        check(&send([does, Does::Accept, Does::Accept], AfterUncertain::Stop).await, "second", [1, 1, 0]);
        check(&send([does, does, Does::Accept], AfterUncertain::Stop).await, "third", [1, 1, 1]);
    }
}

#[tokio::test]
async fn after_a_rejection_no_other_provider_is_asked() {
    check(&send([Does::Reject, Does::Accept, Does::Accept], AfterUncertain::Stop).await, "rejected", [1, 0, 0]);
    check(&send([Does::Fail, Does::Reject, Does::Accept], AfterUncertain::Stop).await, "rejected", [1, 1, 0]);
}

#[tokio::test]
async fn after_an_uncertain_outcome_no_other_provider_is_asked() {
    for does in [Does::Doubt, Does::Hang] {
        check(&send([does, Does::Accept, Does::Accept], AfterUncertain::Stop).await, "uncertain", [1, 0, 0]);
    }
}

#[tokio::test]
async fn the_setting_allows_failover_after_an_uncertain_outcome() {
    for does in [Does::Doubt, Does::Hang] {
        check(&send([does, Does::Accept, Does::Accept], AfterUncertain::TryNext).await, "second", [1, 1, 0]);
    }
}

#[tokio::test]
async fn an_uncertain_outcome_wins_over_later_errors() {
    check(&send([Does::Doubt, Does::Fail, Does::Throttle], AfterUncertain::TryNext).await, "uncertain", [1, 1, 1]);
    check(&send([Does::Doubt, Does::Reject, Does::Accept], AfterUncertain::TryNext).await, "uncertain", [1, 1, 0]);
    check(&send([Does::Fail, Does::Doubt, Does::Accept], AfterUncertain::Stop).await, "uncertain", [1, 1, 0]);
}

#[tokio::test]
async fn when_no_provider_takes_the_message_the_last_error_is_returned() {
    check(&send([Does::Throttle, Does::Throttle, Does::Fail], AfterUncertain::Stop).await, "unavailable", [1, 1, 1]);
    check(&send([Does::Fail, Does::Fail, Does::Throttle], AfterUncertain::Stop).await, "throttled", [1, 1, 1]);
}

#[test]
fn an_empty_list_is_refused() {
    let after_uncertain = AfterUncertain::Stop;
    let settings = ProvidersSettings { attempt_deadline: SHORT_TIMEOUT, after_uncertain, circuit: NEVER };
    assert!(Providers::new(Vec::new(), settings).is_err());
}

#[tokio::test]
async fn every_send_is_counted_and_timed() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    send([Does::Fail, Does::Throttle, Does::Accept], AfterUncertain::Stop).await.0.unwrap();
    send([Does::Hang, Does::Reject, Does::Accept], AfterUncertain::TryNext).await.0.unwrap_err();
    let metrics = recorder.handle().render();
    for line in [
        r#"sms_messages_total{provider="first",outcome="unavailable"} 1"#,
        r#"sms_messages_total{provider="first",outcome="uncertain"} 1"#,
        r#"sms_messages_total{provider="second",outcome="throttled"} 1"#,
        r#"sms_messages_total{provider="second",outcome="rejected"} 1"#,
        r#"sms_messages_total{provider="third",outcome="accepted"} 1"#,
        r#"sms_send_duration_seconds_count{provider="first"} 2"#,
        r#"sms_send_duration_seconds_count{provider="third"} 1"#,
    ] {
        assert!(metrics.contains(line), "{line} not in\n{metrics}");
    }
}

#[tokio::test]
async fn a_failure_is_one_log_line_with_provider_and_reference_only() {
    let log = Log::text();
    send([Does::Fail, Does::Accept, Does::Accept], AfterUncertain::Stop).await.0.unwrap();
    let written = log.contents();
    let [line] = written.lines().collect::<Vec<_>>()[..] else { panic!("one line, not {written:?}") };
    for part in ["WARN", "first", REFERENCE, "unavailable", "status 503"] {
        assert!(line.contains(part), "{part:?} not in {line}");
    }
    assert_shows_none_of(line, &[NUMBER, CODE, "+49"]);
}

#[tokio::test]
async fn a_provider_that_refuses_our_settings_is_logged_as_an_error() {
    let log = Log::text();
    send([Does::Refuse, Does::Accept, Does::Accept], AfterUncertain::Stop).await.0.unwrap();
    let line = log.contents();
    for part in ["ERROR", "first", REFERENCE, "refused the credentials or settings", "code 20003"] {
        assert!(line.contains(part), "{part:?} not in {line}");
    }
}
