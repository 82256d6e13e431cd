//! Who is not even asked: providers that failed too often in a row, or asked to be left alone.
//!
//! The circuit's own tests move the time; here a cool-off is over at once or never ends.

use std::sync::Arc;
use std::time::Duration;

use device_management::sms::circuit::CircuitSettings;
use device_management::sms::providers::{AfterUncertain, Providers, ProvidersSettings};
use device_management::sms::{Fault, SmsError, SmsSender};
use metrics_exporter_prometheus::PrometheusBuilder;

use super::scripted::{Does, Scripted};
use super::{IMPATIENCE, sms};
use crate::harness::log::Log;

/// Longer than any test.
const NEVER_ENDS: Duration = Duration::from_hours(1);

/// The doubles in their order, and the providers that they stand for.
struct Line<const N: usize> {
    doubles: [Arc<Scripted>; N],
    providers: Arc<Providers>,
}

impl<const N: usize> Line<N> {
    fn new(script: [Does; N], failures: u32, cool_off: Duration) -> Self {
        let deadline = if script.iter().any(|does| matches!(does, Does::Hang)) { IMPATIENCE } else { NEVER_ENDS };
        let mut names = ["first", "second"].into_iter();
        let doubles = script.map(|does| Scripted::new(names.next().unwrap(), does));
        let list = doubles.iter().map(Scripted::provider).collect();
        let circuit = CircuitSettings { failures, cool_off };
        let settings = ProvidersSettings { attempt_deadline: deadline, after_uncertain: AfterUncertain::Stop, circuit };
        Self { doubles, providers: Arc::new(Providers::new(list, settings).unwrap()) }
    }

    /// Sends one message: who took it, or the outcome.
    async fn send(&self) -> &'static str {
        match self.providers.send(&sms()).await {
            Ok(accepted) => accepted.provider,
            Err(error) => error.outcome(),
        }
    }

    /// Sends so many, one after the other.
    async fn send_many<const M: usize>(&self) -> [&'static str; M] {
        let mut outcomes = [""; M];
        for outcome in &mut outcomes {
            *outcome = self.send().await;
        }
        outcomes
    }

    fn asked(&self) -> [usize; N] {
        self.doubles.each_ref().map(|double| double.asked())
    }
}

#[tokio::test]
async fn a_provider_that_is_down_is_soon_no_longer_asked() {
    for does in [Does::Fail, Does::Refuse] {
        let line = Line::new([does, Does::Accept], 2, NEVER_ENDS);
        assert_eq!(line.send_many().await, ["second"; 5]);
        assert_eq!(line.asked(), [2, 5]);
    }
}

#[tokio::test]
async fn doubt_counts_and_once_it_is_skipped_the_next_one_sends() {
    for does in [Does::Doubt, Does::Hang] {
        let line = Line::new([does, Does::Accept], 2, NEVER_ENDS);
        assert_eq!(line.send_many().await, ["uncertain", "uncertain", "second", "second"]);
        assert_eq!(line.asked(), [2, 2], "a message in doubt went to nobody else");
    }
}

#[tokio::test]
async fn refused_messages_are_no_fault_of_the_provider() {
    let line = Line::new([Does::Reject, Does::Accept], 1, NEVER_ENDS);
    assert_eq!(line.send_many().await, ["rejected"; 10]);
    assert_eq!(line.asked(), [10, 0]);
}

#[tokio::test]
async fn a_provider_is_skipped_for_as_long_as_it_asks_for_and_otherwise_not() {
    let line = Line::new([Does::ThrottleFor(Duration::from_mins(1)), Does::Accept], 1, NEVER_ENDS);
    assert_eq!(line.send_many().await, ["second"; 3]);
    assert_eq!(line.asked(), [1, 3]);
    let line = Line::new([Does::Throttle, Does::Accept], 1, NEVER_ENDS);
    assert_eq!(line.send_many().await, ["second"; 3]);
    assert_eq!(line.asked(), [3, 3]);
}

#[tokio::test]
async fn with_everybody_skipped_the_message_is_certainly_not_sent() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let line = Line::new([Does::Fail, Does::ThrottleFor(Duration::from_mins(1))], 1, NEVER_ENDS);
    assert_eq!(line.send().await, "throttled");
    for _ in 0..2 {
        let error = line.providers.send(&sms()).await.unwrap_err();
        assert!(matches!(error, SmsError::Unavailable(Fault::AllSkipped)), "{error:?}");
    }
    assert_eq!(line.asked(), [1, 1]);
    let metrics = recorder.handle().render();
    for expected in [
        r#"sms_messages_total{provider="first",outcome="skipped"} 2"#,
        r#"sms_messages_total{provider="second",outcome="skipped"} 2"#,
        r#"sms_send_duration_seconds_count{provider="first"} 1"#,
        r#"sms_provider_open{provider="first"} 1"#,
        r#"sms_provider_open{provider="second"} 0"#,
    ] {
        assert!(metrics.contains(expected), "{expected} not in\n{metrics}");
    }
}

#[tokio::test]
async fn the_reason_of_those_who_were_asked_outweighs_that_others_were_not() {
    let line = Line::new([Does::Fail, Does::Throttle], 1, NEVER_ENDS);
    assert_eq!(line.send_many().await, ["throttled"; 3]);
    assert_eq!(line.asked(), [1, 3]);
    let line = Line::new([Does::Throttle, Does::Fail], 1, NEVER_ENDS);
    assert_eq!(line.send_many().await, ["unavailable", "throttled", "throttled"]);
    assert_eq!(line.asked(), [3, 1]);
}

#[tokio::test]
async fn one_message_probes_the_provider_while_the_others_pass_it_by() {
    let line = Line::new([Does::Fail, Does::Accept], 1, Duration::ZERO);
    assert_eq!(line.send().await, "second");
    line.doubles[0].turns_to(Does::Hang);
    let providers = line.providers.clone();
    let probe = tokio::spawn(async move { providers.send(&sms()).await });
    line.doubles[0].hangs().await;
    assert_eq!(line.send_many().await, ["second"; 5]);
    assert_eq!(line.asked(), [2, 6]);

    // The probe's request is gone, and with it any answer: the next message is the probe.
    probe.abort();
    assert!(probe.await.unwrap_err().is_cancelled());
    line.doubles[0].turns_to(Does::Accept);
    assert_eq!(line.send_many().await, ["first"; 5]);
}

#[tokio::test]
async fn opening_and_closing_are_one_log_line_each() {
    let log = Log::text();
    let line = Line::new([Does::Fail, Does::Accept], 2, Duration::ZERO);
    let told = |level: &str| {
        let lines = log.contents();
        let about_the_circuit = |line: &&str| line.contains("skipped") || line.contains("works again");
        lines.lines().filter(about_the_circuit).filter(|line| line.contains(level) && line.contains("first")).count()
    };
    line.send().await;
    assert_eq!((told("WARN"), told("INFO")), (0, 0));
    // Opened by the second; the others are probes that fail.
    line.send_many::<5>().await;
    assert_eq!((told("WARN"), told("INFO")), (1, 0), "{}", log.contents());
    line.doubles[0].turns_to(Does::Accept);
    line.send_many::<5>().await;
    assert_eq!((told("WARN"), told("INFO")), (1, 1), "{}", log.contents());
}
