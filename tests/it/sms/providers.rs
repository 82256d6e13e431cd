//! Who is asked next, and who is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use device_management::outbound::{self, HttpUrl};
use device_management::sms::providers::{AfterUncertain, Provider, Providers, ProvidersSettings};
use device_management::sms::webhook::{Webhook, WebhookAuth, WebhookSettings};
use device_management::sms::{Accepted, Fault, Sms, SmsError, SmsSender};
use metrics_exporter_prometheus::PrometheusBuilder;

use super::{CODE, IMPATIENCE, NUMBER, PATIENCE, REFERENCE, assert_shows_none_of, sms};
use crate::harness::log::Log;
use crate::harness::provider::{ClosedPort, Manners, RudeServer};

/// What a scripted provider does.
#[derive(Clone, Copy, Debug)]
enum Does {
    Accept,
    Reject,
    Throttle,
    Fail,
    Refuse,
    Doubt,
    Hang,
}

struct Scripted {
    name: &'static str,
    does: Does,
    asked: AtomicUsize,
}

#[async_trait]
impl SmsSender for Scripted {
    async fn send(&self, _sms: &Sms) -> Result<Accepted, SmsError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let fault = |status| Fault::Status { status };
        match self.does {
            Does::Accept => Ok(Accepted { provider: self.name, provider_message_id: None }),
            Does::Reject => Err(SmsError::Rejected(fault(400))),
            Does::Throttle => Err(SmsError::Throttled { retry_after: None, fault: fault(429) }),
            Does::Fail => Err(SmsError::Unavailable(fault(503))),
            Does::Refuse => Err(SmsError::Unavailable(Fault::Misconfigured { status: 401, code: Some(20003) })),
            Does::Doubt => Err(SmsError::Uncertain(fault(500))),
            Does::Hang => std::future::pending().await,
        }
    }
}

/// Sends one message through providers that do as told; the outcome, and how often each was asked.
async fn send(script: [Does; 3], after_uncertain: AfterUncertain) -> (Result<Accepted, SmsError>, [usize; 3]) {
    let mut names = ["first", "second", "third"].into_iter();
    let scripted = script.map(|does| {
        let name = names.next().unwrap();
        Arc::new(Scripted { name, does, asked: AtomicUsize::new(0) })
    });
    let list = scripted.iter().map(|s| Provider { name: s.name, sender: s.clone() }).collect();
    let settings = ProvidersSettings { attempt_deadline: IMPATIENCE, after_uncertain };
    let outcome = Providers::new(list, settings).unwrap().send(&sms()).await;
    (outcome, scripted.map(|s| s.asked.load(Ordering::SeqCst)))
}

#[track_caller]
fn check(found: &(Result<Accepted, SmsError>, [usize; 3]), outcome: &str, asked: [usize; 3]) {
    let word = match &found.0 {
        Ok(accepted) => accepted.provider,
        Err(error) => error.outcome(),
    };
    assert_eq!((word, found.1), (outcome, asked));
}

#[tokio::test]
async fn the_first_provider_that_takes_the_message_is_the_last_one_asked() {
    check(&send([Does::Accept, Does::Accept, Does::Accept], AfterUncertain::Stop).await, "first", [1, 0, 0]);
}

#[tokio::test]
async fn an_unavailable_or_throttling_provider_is_passed_over() {
    for does in [Does::Fail, Does::Throttle, Does::Refuse] {
        check(&send([does, Does::Accept, Does::Accept], AfterUncertain::Stop).await, "second", [1, 1, 0]);
        check(&send([does, does, Does::Accept], AfterUncertain::Stop).await, "third", [1, 1, 1]);
    }
}

#[tokio::test]
async fn a_rejected_message_is_offered_to_nobody_else() {
    check(&send([Does::Reject, Does::Accept, Does::Accept], AfterUncertain::Stop).await, "rejected", [1, 0, 0]);
    check(&send([Does::Fail, Does::Reject, Does::Accept], AfterUncertain::Stop).await, "rejected", [1, 1, 0]);
}

#[tokio::test]
async fn a_message_that_may_have_been_taken_is_offered_to_nobody_else() {
    for does in [Does::Doubt, Does::Hang] {
        check(&send([does, Does::Accept, Does::Accept], AfterUncertain::Stop).await, "uncertain", [1, 0, 0]);
    }
}

#[tokio::test]
async fn the_setting_allows_a_second_hand_over_after_doubt() {
    for does in [Does::Doubt, Does::Hang] {
        check(&send([does, Does::Accept, Does::Accept], AfterUncertain::TryNext).await, "second", [1, 1, 0]);
    }
}

#[tokio::test]
async fn doubt_outlives_what_later_providers_say() {
    check(&send([Does::Doubt, Does::Fail, Does::Throttle], AfterUncertain::TryNext).await, "uncertain", [1, 1, 1]);
    check(&send([Does::Doubt, Does::Reject, Does::Accept], AfterUncertain::TryNext).await, "uncertain", [1, 1, 0]);
    check(&send([Does::Fail, Does::Doubt, Does::Accept], AfterUncertain::Stop).await, "uncertain", [1, 1, 0]);
}

#[tokio::test]
async fn when_nobody_takes_the_message_the_last_reason_is_told() {
    check(&send([Does::Throttle, Does::Throttle, Does::Fail], AfterUncertain::Stop).await, "unavailable", [1, 1, 1]);
    check(&send([Does::Fail, Does::Fail, Does::Throttle], AfterUncertain::Stop).await, "throttled", [1, 1, 1]);
}

#[test]
fn an_empty_list_is_refused() {
    let settings = ProvidersSettings { attempt_deadline: IMPATIENCE, after_uncertain: AfterUncertain::Stop };
    assert!(Providers::new(Vec::new(), settings).is_err());
}

#[tokio::test]
async fn over_the_wire_a_dead_gateway_is_passed_over_and_a_silent_one_is_not() {
    let provider = |name: &'static str, url: &str| {
        let url = HttpUrl::parse(url).unwrap();
        let settings = WebhookSettings { url, auth: WebhookAuth::Bearer("token".to_owned().into()) };
        Provider { name, sender: Arc::new(Webhook::new(settings, outbound::client().unwrap()).unwrap()) }
    };
    let dead = ClosedPort::take();
    let silent = RudeServer::start(Manners::Silent).await;
    let willing = RudeServer::start(Manners::Say(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec())).await;
    let list = vec![provider("a", &dead.url()), provider("b", &silent.url()), provider("c", &willing.url())];
    let settings = ProvidersSettings { attempt_deadline: IMPATIENCE, after_uncertain: AfterUncertain::Stop };

    let error = Providers::new(list.clone(), settings).unwrap().send(&sms()).await.unwrap_err();
    assert!(matches!(error, SmsError::Uncertain(Fault::Deadline)), "{error:?}");
    assert_eq!((silent.requests(), willing.requests()), (1, 0));

    let without_silent = vec![list[0].clone(), list[2].clone()];
    let patient = ProvidersSettings { attempt_deadline: PATIENCE, ..settings };
    Providers::new(without_silent, patient).unwrap().send(&sms()).await.unwrap();
    assert_eq!(willing.requests(), 1);
}

#[tokio::test]
async fn every_hand_over_is_counted_and_timed() {
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
    for part in ["ERROR", "first", REFERENCE, "refuses our settings", "code 20003"] {
        assert!(line.contains(part), "{part:?} not in {line}");
    }
}
