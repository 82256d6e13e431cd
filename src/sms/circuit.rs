//! Keeps messages away from a provider that fails, or that asks to be left alone.
//!
//! After enough failures in a row the circuit opens and the provider is skipped; when the cool-off ends, exactly one message
//! probes it: success closes the circuit, failure opens it again. A probe that is broken off leaves its place to the next.
//! The state is this process's own: every replica finds out for itself, and a restart forgets. The time comes in from
//! outside.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{Accepted, SmsError};

/// The longest that a provider's own wish keeps messages away from it. A wish may concern one number, and an hour would
/// keep codes from everybody.
const PAUSE_MAX: Duration = Duration::from_mins(1);

/// When a provider is skipped.
#[derive(Clone, Copy, Debug)]
pub struct CircuitSettings {
    /// Failures in a row that open the circuit; 0 never opens it.
    pub failures: u32,
    /// How long it stays open before a message probes the provider.
    pub cool_off: Duration,
}

/// The circuit of one provider.
pub(super) struct Circuit {
    provider: &'static str,
    settings: CircuitSettings,
    state: Mutex<State>,
}

struct State {
    phase: Phase,
    /// Counts the phases: how a hand-over ends says nothing about a phase that it did not begin in.
    turn: u64,
    /// Until when the provider asked to be left alone.
    paused_until: Option<Instant>,
}

#[derive(Clone, Copy)]
enum Phase {
    /// Messages go through.
    Closed { failures: u32 },
    /// No message goes through.
    Open { until: Instant },
    /// One message is on its way, the others wait for what becomes of it.
    HalfOpen { since: Instant },
}

/// Leave to hand one message over.
pub(super) struct Permit<'a> {
    circuit: &'a Circuit,
    turn: u64,
}

/// What an operator hears of.
#[derive(Clone, Copy)]
enum News {
    Opened,
    Closed,
}

impl Circuit {
    pub(super) fn new(provider: &'static str, settings: CircuitSettings) -> Self {
        let state = State { phase: Phase::Closed { failures: 0 }, turn: 0, paused_until: None };
        let circuit = Self { provider, settings, state: Mutex::new(state) };
        circuit.show(false);
        circuit
    }

    /// Leave to ask the provider; `None` when it is to be skipped.
    pub(super) fn permit(&self, now: Instant) -> Option<Permit<'_>> {
        let mut state = self.state();
        if state.paused_until.is_some_and(|until| now < until) {
            return None;
        }
        match state.phase {
            Phase::Closed { .. } => {}
            Phase::Open { until } if until <= now => state.enter(Phase::HalfOpen { since: now }),
            Phase::Open { .. } | Phase::HalfOpen { .. } => return None,
        }
        Some(Permit { circuit: self, turn: state.turn })
    }

    /// A state is never left half written, so a panic elsewhere does not spoil it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, open: bool) {
        metrics::gauge!("sms_provider_open", "provider" => self.provider).set(if open { 1.0 } else { 0.0 });
    }

    fn tell(&self, news: News) {
        let CircuitSettings { failures, cool_off } = self.settings;
        match news {
            News::Opened => tracing::warn!(
                sms.provider = self.provider,
                sms.failures = failures,
                cool_off_seconds = cool_off.as_secs(),
                "SMS provider skipped: it failed too often in a row"
            ),
            News::Closed => tracing::info!(sms.provider = self.provider, "SMS provider works again"),
        }
    }
}

impl State {
    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.turn += 1;
    }

    /// The next phase after a hand-over that began in this one.
    fn settle(&mut self, failed: bool, settings: CircuitSettings, now: Instant) -> Option<News> {
        let open = Phase::Open { until: now + settings.cool_off };
        match self.phase {
            Phase::Closed { failures } if failed && failures.saturating_add(1) == settings.failures => {
                self.enter(open);
                Some(News::Opened)
            }
            Phase::Closed { failures } => {
                self.phase = Phase::Closed { failures: if failed { failures.saturating_add(1) } else { 0 } };
                None
            }
            // The failed probe has a log line of its own: a long outage is not announced again and again.
            Phase::HalfOpen { .. } if failed => {
                self.enter(open);
                None
            }
            Phase::HalfOpen { .. } => {
                self.enter(Phase::Closed { failures: 0 });
                Some(News::Closed)
            }
            // Nothing begins in this phase.
            Phase::Open { .. } => None,
        }
    }
}

impl Permit<'_> {
    /// Tells how the hand-over ended.
    pub(super) fn settle(self, result: &Result<Accepted, SmsError>, now: Instant) {
        let circuit = self.circuit;
        let mut state = circuit.state();
        if let Err(SmsError::Throttled { retry_after: Some(pause), .. }) = result {
            state.paused_until = state.paused_until.max(Some(now + PAUSE_MAX.min(*pause)));
        }
        if state.turn != self.turn {
            return;
        }
        let Some(news) = state.settle(is_failure(result), circuit.settings, now) else { return };
        // Before the next news can come, so that the gauge shows the last; a log line may take its time.
        circuit.show(matches!(news, News::Opened));
        drop(state);
        circuit.tell(news);
    }
}

impl Drop for Permit<'_> {
    /// A probe that was broken off says nothing: the next message is the probe.
    fn drop(&mut self) {
        let mut state = self.circuit.state();
        if let Phase::HalfOpen { since } = state.phase
            && state.turn == self.turn
        {
            state.enter(Phase::Open { until: since });
        }
    }
}

/// Whether a provider failed. One that refuses a message, or takes no more for now, is there and answers.
fn is_failure(result: &Result<Accepted, SmsError>) -> bool {
    matches!(result, Err(SmsError::Unavailable(_) | SmsError::Uncertain(_)))
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;
    use crate::sms::Fault;

    const COOL_OFF: Duration = Duration::from_secs(10);
    const ALMOST: Duration = Duration::from_nanos(9_999_999_999);
    const SECOND: Duration = Duration::from_secs(1);
    const ACCEPTED: Result<Accepted, SmsError> = Ok(Accepted { provider: "it", provider_message_id: None });

    fn circuit(failures: u32) -> Circuit {
        Circuit::new("it", CircuitSettings { failures, cool_off: COOL_OFF })
    }

    fn unavailable() -> Result<Accepted, SmsError> {
        Err(SmsError::Unavailable(Fault::Status { status: 503 }))
    }

    fn uncertain() -> Result<Accepted, SmsError> {
        Err(SmsError::Uncertain(Fault::Deadline))
    }

    fn rejected() -> Result<Accepted, SmsError> {
        Err(SmsError::Rejected(Fault::Status { status: 400 }))
    }

    fn throttled(retry_after: Option<Duration>) -> Result<Accepted, SmsError> {
        Err(SmsError::Throttled { retry_after, fault: Fault::Status { status: 429 } })
    }

    /// One hand-over after the other; each must be let through.
    #[track_caller]
    fn end<const N: usize>(circuit: &Circuit, results: [Result<Accepted, SmsError>; N], now: Instant) {
        for result in results {
            circuit.permit(now).expect("the circuit lets through").settle(&result, now);
        }
    }

    fn lets_through(circuit: &Circuit, now: Instant) -> bool {
        circuit.permit(now).is_some()
    }

    #[test]
    fn failures_in_a_row_open_it_for_the_cool_off() {
        let (circuit, now) = (circuit(3), Instant::now());
        end(&circuit, [unavailable(), uncertain()], now);
        assert!(lets_through(&circuit, now), "two of three");
        end(&circuit, [unavailable()], now);
        for later in [Duration::ZERO, ALMOST] {
            assert!(!lets_through(&circuit, now + later), "{later:?}");
        }
        assert!(lets_through(&circuit, now + COOL_OFF));
    }

    #[test]
    fn whatever_shows_that_the_provider_answers_ends_the_row() {
        for answer in [|| ACCEPTED, rejected, || throttled(None)] {
            let (circuit, now) = (circuit(2), Instant::now());
            end(&circuit, [uncertain(), answer(), unavailable(), answer(), uncertain()], now);
            assert!(lets_through(&circuit, now), "{:?}", answer());
        }
    }

    #[test]
    fn after_the_cool_off_exactly_one_message_probes() {
        let (circuit, now) = (circuit(1), Instant::now());
        end(&circuit, [unavailable()], now);
        let then = now + COOL_OFF;
        let probe = circuit.permit(then).expect("the probe");
        for later in [Duration::ZERO, SECOND, 10 * COOL_OFF] {
            assert!(!lets_through(&circuit, then + later), "{later:?}");
        }
        probe.settle(&ACCEPTED, then + SECOND);
        let (first, second) = (circuit.permit(then + SECOND), circuit.permit(then + SECOND));
        assert!(first.is_some() && second.is_some(), "closed lets everything through");
    }

    #[test]
    fn a_failed_probe_opens_it_again_for_as_long() {
        let (circuit, now) = (circuit(3), Instant::now());
        end(&circuit, [unavailable(), unavailable(), unavailable()], now);
        let mut now = now;
        for failed in [unavailable(), uncertain(), unavailable()] {
            let probe = circuit.permit(now + COOL_OFF).expect("the probe");
            now += COOL_OFF + SECOND;
            probe.settle(&failed, now);
            assert!(!lets_through(&circuit, now + ALMOST));
        }
    }

    #[test]
    fn a_refused_or_throttled_probe_closes_it() {
        for answer in [rejected(), throttled(None)] {
            let (circuit, now) = (circuit(1), Instant::now());
            end(&circuit, [unavailable()], now);
            end(&circuit, [answer], now + COOL_OFF);
            let (first, second) = (circuit.permit(now + COOL_OFF), circuit.permit(now + COOL_OFF));
            assert!(first.is_some() && second.is_some());
        }
    }

    #[test]
    fn a_probe_that_is_broken_off_leaves_its_place_to_the_next() {
        let (circuit, now) = (circuit(1), Instant::now());
        end(&circuit, [unavailable()], now);
        let then = now + COOL_OFF;
        for _ in 0..3 {
            let probe = circuit.permit(then).expect("a probe");
            assert!(!lets_through(&circuit, then));
            drop(probe);
        }
        let probe = circuit.permit(then).expect("a probe");
        probe.settle(&ACCEPTED, then);
        assert!(lets_through(&circuit, then));
    }

    #[test]
    fn what_began_before_it_opened_neither_closes_nor_prolongs_it() {
        let (circuit, now) = (circuit(2), Instant::now());
        let late: Vec<_> = (0..4).map(|_| circuit.permit(now).expect("closed")).collect();
        end(&circuit, [uncertain(), uncertain()], now);
        let mut results = [ACCEPTED, uncertain(), unavailable(), ACCEPTED].into_iter();
        for permit in late {
            permit.settle(&results.next().expect("as many"), now + COOL_OFF - SECOND);
            assert!(!lets_through(&circuit, now + COOL_OFF - SECOND));
        }
        assert!(lets_through(&circuit, now + COOL_OFF));
    }

    #[test]
    fn nor_does_it_settle_a_probe_or_count_after_it() {
        let (circuit, now) = (circuit(1), Instant::now());
        let [during, after] = [(); 2].map(|()| circuit.permit(now).expect("closed"));
        end(&circuit, [unavailable()], now);
        let then = now + COOL_OFF;
        let probe = circuit.permit(then).expect("the probe");
        during.settle(&ACCEPTED, then);
        assert!(!lets_through(&circuit, then), "the probe is still out");
        probe.settle(&ACCEPTED, then);
        after.settle(&unavailable(), then);
        assert!(lets_through(&circuit, then));
    }

    #[test]
    fn a_provider_that_asks_for_a_pause_gets_it_up_to_a_minute() {
        for (asked, given) in [(7, 7), (60, 60), (3600, 60)] {
            let (circuit, now) = (circuit(5), Instant::now());
            end(&circuit, [throttled(Some(Duration::from_secs(asked)))], now);
            let given = Duration::from_secs(given);
            assert!(!lets_through(&circuit, now + given - Duration::from_nanos(1)), "{asked}");
            assert!(lets_through(&circuit, now + given), "{asked}");
        }
    }

    #[test]
    fn a_shorter_wish_does_not_end_a_longer_pause() {
        let (circuit, now) = (circuit(5), Instant::now());
        let [long, short, taken] = [(); 3].map(|()| circuit.permit(now).expect("closed"));
        long.settle(&throttled(Some(30 * SECOND)), now);
        short.settle(&throttled(Some(SECOND)), now);
        taken.settle(&ACCEPTED, now);
        assert!(!lets_through(&circuit, now + 29 * SECOND));
        assert!(lets_through(&circuit, now + 30 * SECOND));
    }

    #[test]
    fn with_no_number_of_failures_it_never_opens_but_still_grants_pauses() {
        let (circuit, now) = (circuit(0), Instant::now());
        end(&circuit, [(); 100].map(|()| unavailable()), now);
        assert!(lets_through(&circuit, now));
        end(&circuit, [throttled(Some(SECOND))], now);
        assert!(!lets_through(&circuit, now));
    }

    #[test]
    fn the_gauge_shows_it_open_until_a_probe_succeeds() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let gauge = |expected: u8| {
            let line = format!("sms_provider_open{{provider=\"it\"}} {expected}");
            let metrics = recorder.handle().render();
            assert!(metrics.contains(&line), "{line} not in\n{metrics}");
        };
        metrics::with_local_recorder(&recorder, || {
            let (circuit, now) = (circuit(2), Instant::now());
            gauge(0);
            end(&circuit, [unavailable()], now);
            gauge(0);
            end(&circuit, [unavailable()], now);
            gauge(1);
            end(&circuit, [unavailable()], now + COOL_OFF);
            gauge(1);
            end(&circuit, [ACCEPTED], now + 2 * COOL_OFF);
            gauge(0);
        });
    }
}
