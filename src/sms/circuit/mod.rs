//! The circuit breaker of an SMS provider, which also honours `Retry-After`.
//!
//! After enough consecutive failures the circuit opens and the provider is skipped. When the cool-off ends, exactly one
//! message probes it: success closes the circuit, failure opens it again. If a probe is cancelled, the next message is
//! the probe. The state is in memory, per process. The caller passes in the time.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{Fault, HandedOver, SmsError};

/// The longest pause by `Retry-After`. The provider may have meant a single number, and an hour would block all codes.
const PAUSE_MAX: Duration = Duration::from_mins(1);

/// When a provider is skipped.
#[derive(Clone, Copy, Debug)]
pub struct CircuitSettings {
    /// Consecutive failures that open the circuit; 0 disables it.
    pub failures: u32,
    /// How long the circuit stays open before a probe.
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
    /// Incremented with each phase: the result of a send only counts in the phase in which it began.
    turn: u64,
    /// The end of the pause that the provider asked for.
    paused_until: Option<Instant>,
}

#[derive(Clone, Copy)]
enum Phase {
    /// Messages are sent.
    Closed { failures: u32 },
    /// The provider is skipped.
    Open { until: Instant },
    /// One message probes the provider; for all others it is skipped.
    HalfOpen { since: Instant },
}

/// Permission to send one message.
pub(super) struct Permit<'a> {
    circuit: &'a Circuit,
    turn: u64,
}

/// A transition that is logged.
#[derive(Clone, Copy)]
enum Transition {
    Opened,
    Closed,
}

impl Circuit {
    pub(super) fn new(provider: &'static str, settings: CircuitSettings) -> Self {
        let state = State { phase: Phase::Closed { failures: 0 }, turn: 0, paused_until: None };
        let circuit = Self { provider, settings, state: Mutex::new(state) };
        circuit.set_gauge(false);
        circuit
    }

    /// Permission to send; `None` when the provider is skipped.
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

    /// Ignores poisoning: no code panics between the writes of an update.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_gauge(&self, open: bool) {
        metrics::gauge!("sms_provider_open", "provider" => self.provider).set(if open { 1.0 } else { 0.0 });
    }

    fn log(&self, transition: Transition) {
        let CircuitSettings { failures, cool_off } = self.settings;
        match transition {
            Transition::Opened => tracing::warn!(
                sms.provider = self.provider,
                sms.failures = failures,
                cool_off_seconds = cool_off.as_secs(),
                "SMS provider skipped, circuit opened after consecutive failures"
            ),
            Transition::Closed => tracing::info!(sms.provider = self.provider, "SMS provider recovered"),
        }
    }
}

impl State {
    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.turn += 1;
    }

    /// Applies the result of a send that began in this phase.
    fn settle(&mut self, failed: bool, settings: CircuitSettings, now: Instant) -> Option<Transition> {
        let open = Phase::Open { until: now + settings.cool_off };
        match self.phase {
            Phase::Closed { failures } if failed && failures.saturating_add(1) == settings.failures => {
                self.enter(open);
                Some(Transition::Opened)
            }
            Phase::Closed { failures } => {
                self.phase = Phase::Closed { failures: if failed { failures.saturating_add(1) } else { 0 } };
                None
            }
            // The failed probe is logged as a failed send, so the transition is not logged again.
            Phase::HalfOpen { .. } if failed => {
                self.enter(open);
                None
            }
            Phase::HalfOpen { .. } => {
                self.enter(Phase::Closed { failures: 0 });
                Some(Transition::Closed)
            }
            // No send begins in this phase.
            Phase::Open { .. } => None,
        }
    }
}

impl Permit<'_> {
    /// Records the result of the send.
    pub(super) fn settle(self, result: &Result<HandedOver, SmsError>, now: Instant) {
        let circuit = self.circuit;
        let mut state = circuit.state();
        if let Err(SmsError::Throttled { retry_after: Some(pause), .. }) = result {
            state.paused_until = state.paused_until.max(Some(now + PAUSE_MAX.min(*pause)));
        }
        if state.turn != self.turn {
            return;
        }
        let Some(transition) = state.settle(is_failure(result), circuit.settings, now) else { return };
        // Set the gauge under the lock, so that it shows the last transition; log without the lock, since logging may
        // block.
        circuit.set_gauge(matches!(transition, Transition::Opened));
        drop(state);
        circuit.log(transition);
    }
}

impl Drop for Permit<'_> {
    /// A cancelled probe has no result: the next message is the probe.
    fn drop(&mut self) {
        let mut state = self.circuit.state();
        if let Phase::HalfOpen { since } = state.phase
            && state.turn == self.turn
        {
            state.enter(Phase::Open { until: since });
        }
    }
}

/// Whether the result counts as a failure of the provider. A refused message, a rate limit or an unreachable number
/// does not: a country that is not enabled for the account must not stop codes to all others.
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
