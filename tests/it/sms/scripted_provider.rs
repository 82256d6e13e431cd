//! A test double of a provider with a scripted outcome and a count of its calls.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use device_management::sms::providers::Provider;
use device_management::sms::{Fault, HandedOver, Sms, SmsError, SmsSender};
use tokio::sync::Notify;

/// The outcome of a scripted provider.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outcome {
    Accept,
    Reject,
    Throttle,
    ThrottleFor(Duration),
    Unavailable,
    Misconfigured,
    Uncertain,
    Hang,
}

pub(super) struct Scripted {
    name: &'static str,
    outcome: Mutex<Outcome>,
    calls: AtomicUsize,
    hangs: Notify,
}

impl Scripted {
    pub(super) fn new(name: &'static str, outcome: Outcome) -> Arc<Self> {
        Arc::new(Self { name, outcome: Mutex::new(outcome), calls: AtomicUsize::new(0), hangs: Notify::new() })
    }

    pub(super) fn provider(self: &Arc<Self>) -> Provider {
        Provider { name: self.name, sender: self.clone() }
    }

    /// Changes the outcome from now on.
    pub(super) fn set_outcome(&self, outcome: Outcome) {
        *self.outcome.lock().unwrap() = outcome;
    }

    pub(super) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// Waits until a message hangs here.
    pub(super) async fn hangs(&self) {
        self.hangs.notified().await;
    }
}

#[async_trait]
impl SmsSender for Scripted {
    async fn send(&self, _sms: &Sms) -> Result<HandedOver, SmsError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let fault = |status| Fault::Status { status };
        let outcome = *self.outcome.lock().unwrap();
        match outcome {
            Outcome::Accept => Ok(HandedOver { provider: self.name, provider_message_id: None }),
            Outcome::Reject => Err(SmsError::Rejected(fault(400))),
            Outcome::Throttle => Err(SmsError::Throttled { retry_after: None, fault: fault(429) }),
            Outcome::ThrottleFor(pause) => Err(SmsError::Throttled { retry_after: Some(pause), fault: fault(429) }),
            Outcome::Unavailable => Err(SmsError::Unavailable(fault(503))),
            Outcome::Misconfigured => {
                Err(SmsError::Unavailable(Fault::Misconfigured { status: 401, code: Some(20003) }))
            }
            Outcome::Uncertain => Err(SmsError::Uncertain(fault(500))),
            Outcome::Hang => {
                self.hangs.notify_one();
                std::future::pending().await
            }
        }
    }
}
