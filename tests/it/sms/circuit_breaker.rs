//! The circuit breaker: providers are skipped after too many failures in a row, or for as long as they request with
//! `retry-after`.
//!
//! The unit tests of the circuit move the time; here a cool-off has no length or never ends.

use std::sync::Arc;
use std::time::Duration;

use device_management::sms::circuit::CircuitSettings;
use device_management::sms::providers::{AfterUncertain, Providers, ProvidersSettings};
use device_management::sms::{Fault, SmsError, SmsSender};
use metrics_exporter_prometheus::PrometheusBuilder;

use super::scripted_provider::{Outcome, Scripted};
use super::{SHORT_TIMEOUT, sms};
use crate::harness::log::Log;

/// A cool-off longer than any test.
const NEVER_ENDS: Duration = Duration::from_hours(1);

/// The scripted doubles in order, and the `Providers` made of them.
struct ScriptedProviders<const N: usize> {
    doubles: [Arc<Scripted>; N],
    providers: Arc<Providers>,
}

impl<const N: usize> ScriptedProviders<N> {
    fn new(script: [Outcome; N], failures: u32, cool_off: Duration) -> Self {
        let deadline =
            if script.iter().any(|outcome| matches!(outcome, Outcome::Hang)) { SHORT_TIMEOUT } else { NEVER_ENDS };
        let mut names = ["first", "second"].into_iter();
        let doubles = script.map(|outcome| Scripted::new(names.next().unwrap(), outcome));
        let list = doubles.iter().map(Scripted::provider).collect();
        let circuit = CircuitSettings { failures, cool_off };
        let settings = ProvidersSettings { attempt_deadline: deadline, after_uncertain: AfterUncertain::Stop, circuit };
        Self { doubles, providers: Arc::new(Providers::new(list, settings).unwrap()) }
    }

    /// Sends one message. Returns the name of the provider that took it, or the error's outcome.
    async fn send(&self) -> &'static str {
        match self.providers.send(&sms()).await {
            Ok(accepted) => accepted.provider,
            Err(error) => error.outcome(),
        }
    }

    /// Sends `M` messages in sequence.
    async fn send_many<const M: usize>(&self) -> [&'static str; M] {
        let mut outcomes = [""; M];
        for outcome in &mut outcomes {
            *outcome = self.send().await;
        }
        outcomes
    }

    fn calls(&self) -> [usize; N] {
        self.doubles.each_ref().map(|double| double.calls())
    }
}

#[tokio::test]
async fn an_unavailable_provider_is_skipped_after_two_failures() {
    for outcome in [Outcome::Unavailable, Outcome::Misconfigured] {
        let scripted = ScriptedProviders::new([outcome, Outcome::Accept], 2, NEVER_ENDS);
        assert_eq!(scripted.send_many().await, ["second"; 5]);
        assert_eq!(scripted.calls(), [2, 5]);
    }
}

#[tokio::test]
async fn uncertain_outcomes_open_the_circuit_and_the_next_provider_sends() {
    for outcome in [Outcome::Uncertain, Outcome::Hang] {
        let scripted = ScriptedProviders::new([outcome, Outcome::Accept], 2, NEVER_ENDS);
        assert_eq!(scripted.send_many().await, ["uncertain", "uncertain", "second", "second"]);
        assert_eq!(scripted.calls(), [2, 2], "an uncertain message went to no other provider");
    }
}

#[tokio::test]
async fn rejected_messages_do_not_open_the_circuit() {
    let scripted = ScriptedProviders::new([Outcome::Reject, Outcome::Accept], 1, NEVER_ENDS);
    assert_eq!(scripted.send_many().await, ["rejected"; 10]);
    assert_eq!(scripted.calls(), [10, 0]);
}

#[tokio::test]
async fn a_throttling_provider_is_skipped_only_for_its_retry_after() {
    let scripted =
        ScriptedProviders::new([Outcome::ThrottleFor(Duration::from_mins(1)), Outcome::Accept], 1, NEVER_ENDS);
    assert_eq!(scripted.send_many().await, ["second"; 3]);
    assert_eq!(scripted.calls(), [1, 3]);
    let scripted = ScriptedProviders::new([Outcome::Throttle, Outcome::Accept], 1, NEVER_ENDS);
    assert_eq!(scripted.send_many().await, ["second"; 3]);
    assert_eq!(scripted.calls(), [3, 3]);
}

#[tokio::test]
async fn with_all_providers_skipped_the_message_is_unavailable() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let scripted =
        ScriptedProviders::new([Outcome::Unavailable, Outcome::ThrottleFor(Duration::from_mins(1))], 1, NEVER_ENDS);
    assert_eq!(scripted.send().await, "throttled");
    for _ in 0..2 {
        let error = scripted.providers.send(&sms()).await.unwrap_err();
        assert!(matches!(error, SmsError::Unavailable(Fault::AllSkipped)), "{error:?}");
    }
    assert_eq!(scripted.calls(), [1, 1]);
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
async fn the_error_of_a_called_provider_wins_over_a_skipped_one() {
    let scripted = ScriptedProviders::new([Outcome::Unavailable, Outcome::Throttle], 1, NEVER_ENDS);
    assert_eq!(scripted.send_many().await, ["throttled"; 3]);
    assert_eq!(scripted.calls(), [1, 3]);
    let scripted = ScriptedProviders::new([Outcome::Throttle, Outcome::Unavailable], 1, NEVER_ENDS);
    assert_eq!(scripted.send_many().await, ["unavailable", "throttled", "throttled"]);
    assert_eq!(scripted.calls(), [3, 1]);
}

#[tokio::test]
async fn one_message_probes_an_open_provider_while_the_others_skip_it() {
    let scripted = ScriptedProviders::new([Outcome::Unavailable, Outcome::Accept], 1, Duration::ZERO);
    assert_eq!(scripted.send().await, "second");
    scripted.doubles[0].set_outcome(Outcome::Hang);
    let providers = scripted.providers.clone();
    let probe = tokio::spawn(async move { providers.send(&sms()).await });
    scripted.doubles[0].hangs().await;
    assert_eq!(scripted.send_many().await, ["second"; 5]);
    assert_eq!(scripted.calls(), [2, 6]);

    // The probe was cancelled without an answer: the next message is the probe.
    probe.abort();
    assert!(probe.await.unwrap_err().is_cancelled());
    scripted.doubles[0].set_outcome(Outcome::Accept);
    assert_eq!(scripted.send_many().await, ["first"; 5]);
}

#[tokio::test]
async fn opening_and_closing_the_circuit_are_logged_once_each() {
    let log = Log::text();
    let scripted = ScriptedProviders::new([Outcome::Unavailable, Outcome::Accept], 2, Duration::ZERO);
    let logged = |level: &str| {
        let lines = log.contents();
        let about_the_circuit = |line: &&str| line.contains("skipped") || line.contains("recovered");
        lines.lines().filter(about_the_circuit).filter(|line| line.contains(level) && line.contains("first")).count()
    };
    scripted.send().await;
    assert_eq!((logged("WARN"), logged("INFO")), (0, 0));
    // The second failure opens the circuit; the others are probes that fail.
    scripted.send_many::<5>().await;
    assert_eq!((logged("WARN"), logged("INFO")), (1, 0), "{}", log.contents());
    scripted.doubles[0].set_outcome(Outcome::Accept);
    scripted.send_many::<5>().await;
    assert_eq!((logged("WARN"), logged("INFO")), (1, 1), "{}", log.contents());
}
