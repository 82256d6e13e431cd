//! Failover: the outcomes after which the next provider is tried, and those after which none is.

use device_management::sms::circuit::CircuitSettings;
use device_management::sms::providers::{AfterUncertain, Providers, ProvidersSettings};
use device_management::sms::{HandedOver, SmsError, SmsSender};
use metrics_exporter_prometheus::PrometheusBuilder;

use super::scripted_provider::{Outcome, Scripted};
use super::{CODE, NUMBER, REFERENCE, SHORT_TIMEOUT, assert_shows_none_of, sms};
use crate::harness::log::Log;

/// A circuit breaker that never opens.
const NEVER: CircuitSettings = CircuitSettings { failures: 0, cool_off: SHORT_TIMEOUT };

/// Sends one message through scripted providers. Returns the outcome, and how often each provider was called.
async fn send(script: [Outcome; 3], after_uncertain: AfterUncertain) -> (Result<HandedOver, SmsError>, [usize; 3]) {
    let mut names = ["first", "second", "third"].into_iter();
    let scripted = script.map(|outcome| Scripted::new(names.next().unwrap(), outcome));
    let list = scripted.iter().map(Scripted::provider).collect();
    let settings = ProvidersSettings { attempt_deadline: SHORT_TIMEOUT, after_uncertain, circuit: NEVER };
    let outcome = Providers::new(list, settings).unwrap().send(&sms()).await;
    (outcome, scripted.map(|double| double.calls()))
}

#[track_caller]
fn check(found: &(Result<HandedOver, SmsError>, [usize; 3]), outcome: &str, calls: [usize; 3]) {
    let word = match &found.0 {
        Ok(accepted) => accepted.provider,
        Err(error) => error.outcome(),
    };
    assert_eq!((word, found.1), (outcome, calls));
}

#[tokio::test]
async fn no_provider_is_tried_after_one_accepted_the_message() {
    check(&send([Outcome::Accept, Outcome::Accept, Outcome::Accept], AfterUncertain::Stop).await, "first", [1, 0, 0]);
}

#[tokio::test]
async fn after_an_unavailable_or_throttling_provider_the_next_is_tried() {
    for outcome in [Outcome::Unavailable, Outcome::Throttle, Outcome::Misconfigured] {
        check(&send([outcome, Outcome::Accept, Outcome::Accept], AfterUncertain::Stop).await, "second", [1, 1, 0]);
        check(&send([outcome, outcome, Outcome::Accept], AfterUncertain::Stop).await, "third", [1, 1, 1]);
    }
}

#[tokio::test]
async fn after_a_rejection_no_other_provider_is_tried() {
    check(
        &send([Outcome::Reject, Outcome::Accept, Outcome::Accept], AfterUncertain::Stop).await,
        "rejected",
        [1, 0, 0],
    );
    check(
        &send([Outcome::Unavailable, Outcome::Reject, Outcome::Accept], AfterUncertain::Stop).await,
        "rejected",
        [1, 1, 0],
    );
}

#[tokio::test]
async fn after_an_uncertain_outcome_no_other_provider_is_tried() {
    for outcome in [Outcome::Uncertain, Outcome::Hang] {
        check(&send([outcome, Outcome::Accept, Outcome::Accept], AfterUncertain::Stop).await, "uncertain", [1, 0, 0]);
    }
}

#[tokio::test]
async fn the_setting_allows_failover_after_an_uncertain_outcome() {
    for outcome in [Outcome::Uncertain, Outcome::Hang] {
        check(&send([outcome, Outcome::Accept, Outcome::Accept], AfterUncertain::TryNext).await, "second", [1, 1, 0]);
    }
}

#[tokio::test]
async fn an_uncertain_outcome_wins_over_later_errors() {
    check(
        &send([Outcome::Uncertain, Outcome::Unavailable, Outcome::Throttle], AfterUncertain::TryNext).await,
        "uncertain",
        [1, 1, 1],
    );
    check(
        &send([Outcome::Uncertain, Outcome::Reject, Outcome::Accept], AfterUncertain::TryNext).await,
        "uncertain",
        [1, 1, 0],
    );
    check(
        &send([Outcome::Unavailable, Outcome::Uncertain, Outcome::Accept], AfterUncertain::Stop).await,
        "uncertain",
        [1, 1, 0],
    );
}

#[tokio::test]
async fn when_no_provider_accepts_the_message_the_last_error_is_returned() {
    check(
        &send([Outcome::Throttle, Outcome::Throttle, Outcome::Unavailable], AfterUncertain::Stop).await,
        "unavailable",
        [1, 1, 1],
    );
    check(
        &send([Outcome::Unavailable, Outcome::Unavailable, Outcome::Throttle], AfterUncertain::Stop).await,
        "throttled",
        [1, 1, 1],
    );
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
    send([Outcome::Unavailable, Outcome::Throttle, Outcome::Accept], AfterUncertain::Stop).await.0.unwrap();
    send([Outcome::Hang, Outcome::Reject, Outcome::Accept], AfterUncertain::TryNext).await.0.unwrap_err();
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
    send([Outcome::Unavailable, Outcome::Accept, Outcome::Accept], AfterUncertain::Stop).await.0.unwrap();
    let written = log.contents();
    let [line] = written.lines().collect::<Vec<_>>()[..] else { panic!("one line, not {written:?}") };
    for part in ["WARN", "first", REFERENCE, "unavailable", "status 503"] {
        assert!(line.contains(part), "{part:?} not in {line}");
    }
    assert_shows_none_of(line, &[NUMBER, CODE, "+49"]);
}

#[tokio::test]
async fn a_provider_that_refuses_the_settings_is_logged_as_an_error() {
    let log = Log::text();
    send([Outcome::Misconfigured, Outcome::Accept, Outcome::Accept], AfterUncertain::Stop).await.0.unwrap();
    let line = log.contents();
    for part in ["ERROR", "first", REFERENCE, "refused the credentials or settings", "code 20003"] {
        assert!(line.contains(part), "{part:?} not in {line}");
    }
}
