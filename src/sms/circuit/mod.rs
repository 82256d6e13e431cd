//! Keeps messages away from a provider that fails, or that asks to be left alone.
//!
//! After enough failures in a row the circuit opens and the provider is skipped; when the cool-off ends, exactly one message
//! probes it: success closes the circuit, failure opens it again. A probe that is broken off leaves its place to the next.
//! The state is this process's own: every replica finds out for itself, and a restart forgets. The time comes in from
//! outside.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{Fault, HandedOver, SmsError};

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
    pub(super) fn settle(self, result: &Result<HandedOver, SmsError>, now: Instant) {
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

/// Whether a provider failed. One that refuses a message, takes no more for now, or does not reach this one number is there
/// and answers: a country that our account has not enabled must not keep codes from all others.
fn is_failure(result: &Result<HandedOver, SmsError>) -> bool {
    match result {
        Ok(_) | Err(SmsError::Rejected(_) | SmsError::Throttled { .. } | SmsError::Unavailable(Fault::Code { .. })) => {
            false
        }
        Err(SmsError::Unavailable(_) | SmsError::Uncertain(_)) => true,
    }
}

#[cfg(test)]
mod tests;
