//! Tries providers in the operator's order, and is a provider itself.
//!
//! The next one is asked only when the one before certainly did not take the message, be it that it was not asked at all:
//! `circuit` says who is skipped. Every hand-over has a deadline, a metric, and on failure one log line that names the
//! provider and the message's reference, nothing else.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, timeout};

use super::circuit::{Circuit, CircuitSettings, Permit};
use super::{Fault, HandedOver, Sms, SmsError, SmsSender};

/// How the providers are tried.
#[derive(Clone, Copy, Debug)]
pub struct ProvidersSettings {
    /// How long one provider may take. Above the connect timeout of `outbound`, so that a server that is down counts as
    /// unavailable and not as uncertain.
    pub attempt_deadline: Duration,
    /// What follows when a provider may have taken the message.
    pub after_uncertain: AfterUncertain,
    /// When a provider is skipped.
    pub circuit: CircuitSettings,
}

/// What follows when a provider may have taken the message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AfterUncertain {
    /// Nothing: two messages with one code are worse than a wait (docs/api-design.md#text-messages).
    #[default]
    Stop,
    /// The next provider, at the risk of a second message.
    TryNext,
}

/// A provider and its name.
#[derive(Clone)]
pub struct Provider {
    /// The name in settings, logs and metrics.
    pub name: &'static str,
    /// The adapter.
    pub sender: Arc<dyn SmsSender>,
}

/// Providers in the order in which they are tried.
pub struct Providers {
    list: Vec<(Provider, Circuit)>,
    settings: ProvidersSettings,
}

/// There is nobody to hand a message to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at least one SMS provider is needed")]
pub struct NoProvider;

impl Providers {
    /// Makes the list.
    ///
    /// # Errors
    ///
    /// When it is empty.
    pub fn new(list: Vec<Provider>, settings: ProvidersSettings) -> Result<Self, NoProvider> {
        if list.is_empty() {
            return Err(NoProvider);
        }
        let with_circuit = |provider: Provider| {
            let circuit = Circuit::new(provider.name, settings.circuit);
            (provider, circuit)
        };
        Ok(Self { list: list.into_iter().map(with_circuit).collect(), settings })
    }

    async fn attempt(&self, provider: &Provider, permit: Permit<'_>, sms: &Sms) -> Result<HandedOver, SmsError> {
        let started = Instant::now();
        let result = timeout(self.settings.attempt_deadline, provider.sender.send(sms)).await;
        let result = result.unwrap_or(Err(SmsError::Uncertain(Fault::Deadline)));
        permit.settle(&result, Instant::now());
        let outcome = result.as_ref().map_or_else(SmsError::outcome, |_| "accepted");
        metrics::histogram!("sms_send_duration_seconds", "provider" => provider.name).record(started.elapsed());
        count(provider.name, outcome);
        if let Err(error) = &result {
            log_failure(provider.name, sms, error);
        }
        result
    }
}

#[async_trait]
impl SmsSender for Providers {
    /// The error is the last one of those who were asked, except that doubt stays: once a provider may have taken the
    /// message, a later refusal does not make it untaken.
    async fn send(&self, sms: &Sms) -> Result<HandedOver, SmsError> {
        let mut doubt = None;
        let mut last = None;
        for (provider, circuit) in &self.list {
            let Some(permit) = circuit.permit(Instant::now()) else {
                count(provider.name, "skipped");
                continue;
            };
            match self.attempt(provider, permit, sms).await {
                Ok(accepted) => return Ok(accepted),
                Err(error @ SmsError::Rejected(_)) => {
                    last = Some(error);
                    break;
                }
                Err(error @ SmsError::Uncertain(_)) => {
                    doubt = Some(error);
                    if self.settings.after_uncertain == AfterUncertain::Stop {
                        break;
                    }
                }
                Err(error @ (SmsError::Throttled { .. } | SmsError::Unavailable(_))) => last = Some(error),
            }
        }
        Err(doubt.or(last).unwrap_or(SmsError::Unavailable(Fault::AllSkipped)))
    }
}

fn count(provider: &'static str, outcome: &'static str) {
    metrics::counter!("sms_messages_total", "provider" => provider, "outcome" => outcome).increment(1);
}

/// One line per failed hand-over. An operator's own mistake is an error, the weather is a warning.
fn log_failure(provider: &str, sms: &Sms, error: &SmsError) {
    let (reference, outcome) = (sms.reference, error.outcome());
    let cause: &(dyn Error + 'static) = error.fault();
    if let Fault::Misconfigured { .. } = error.fault() {
        tracing::error!(sms.provider = provider, sms.reference = %reference, sms.outcome = outcome, cause, "SMS provider refuses our settings");
    } else {
        tracing::warn!(sms.provider = provider, sms.reference = %reference, sms.outcome = outcome, cause, "SMS not handed over");
    }
}
