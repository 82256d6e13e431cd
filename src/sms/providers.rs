//! Failover between SMS providers in the operator's order.
//!
//! The next provider is tried only when the one before certainly did not accept the message, or was skipped by its
//! `circuit`. Every attempt has a timeout, a metric, and on failure one log line with the provider and the message's
//! reference.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, timeout};

use super::circuit::{Circuit, CircuitSettings, Permit};
use super::{Fault, HandedOver, Sms, SmsError, SmsSender};

/// Settings of the failover.
#[derive(Clone, Copy, Debug)]
pub struct ProvidersSettings {
    /// The timeout of one provider. Longer than the connect timeout of `outbound`, so that a server that is down counts
    /// as unavailable and not as uncertain.
    pub attempt_deadline: Duration,
    /// Whether to fail over when a provider may have accepted the message.
    pub after_uncertain: AfterUncertain,
    /// Settings of the circuit breaker of each provider.
    pub circuit: CircuitSettings,
}

/// Whether to fail over when a provider may have accepted the message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AfterUncertain {
    /// Stop: no risk of a second message (docs/api-design.md#text-messages).
    #[default]
    Stop,
    /// Try the next provider, at the risk of a second message.
    TryNext,
}

/// A provider with its name.
#[derive(Clone)]
pub struct Provider {
    /// The name in settings, logs and metrics.
    pub name: &'static str,
    /// The adapter.
    pub sender: Arc<dyn SmsSender>,
}

/// The providers, in the order in which they are tried.
pub struct Providers {
    list: Vec<(Provider, Circuit)>,
    settings: ProvidersSettings,
}

/// The list of providers is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at least one SMS provider is needed")]
pub struct NoProvider;

impl Providers {
    /// Creates the failover over these providers.
    ///
    /// # Errors
    ///
    /// When the list is empty.
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
    /// Returns the error of the last provider that was tried, unless an earlier one was uncertain: that error takes
    /// precedence, because the message may have been sent.
    async fn send(&self, sms: &Sms) -> Result<HandedOver, SmsError> {
        let mut uncertain = None;
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
                    uncertain = Some(error);
                    if self.settings.after_uncertain == AfterUncertain::Stop {
                        break;
                    }
                }
                Err(error @ (SmsError::Throttled { .. } | SmsError::Unavailable(_))) => last = Some(error),
            }
        }
        Err(uncertain.or(last).unwrap_or(SmsError::Unavailable(Fault::AllSkipped)))
    }
}

fn count(provider: &'static str, outcome: &'static str) {
    metrics::counter!("sms_messages_total", "provider" => provider, "outcome" => outcome).increment(1);
}

/// Logs one line per failed attempt. Misconfiguration is logged at ERROR, transient failures at WARN.
fn log_failure(provider: &str, sms: &Sms, error: &SmsError) {
    let (reference, outcome) = (sms.reference, error.outcome());
    let cause: &(dyn Error + 'static) = error.fault();
    if let Fault::Misconfigured { .. } = error.fault() {
        tracing::error!(sms.provider = provider, sms.reference = %reference, sms.outcome = outcome, cause, "SMS provider refused the credentials or settings");
    } else {
        tracing::warn!(sms.provider = provider, sms.reference = %reference, sms.outcome = outcome, cause, "SMS not sent");
    }
}
