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
pub(super) enum Does {
    Accept,
    Reject,
    Throttle,
    ThrottleFor(Duration),
    Fail,
    Refuse,
    Doubt,
    Hang,
}

pub(super) struct Scripted {
    name: &'static str,
    does: Mutex<Does>,
    asked: AtomicUsize,
    hangs: Notify,
}

impl Scripted {
    pub(super) fn new(name: &'static str, does: Does) -> Arc<Self> {
        Arc::new(Self { name, does: Mutex::new(does), asked: AtomicUsize::new(0), hangs: Notify::new() })
    }

    pub(super) fn provider(self: &Arc<Self>) -> Provider {
        Provider { name: self.name, sender: self.clone() }
    }

    /// Changes the outcome from now on.
    pub(super) fn set_outcome(&self, does: Does) {
        *self.does.lock().unwrap() = does;
    }

    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Waits until a message hangs here.
    pub(super) async fn hangs(&self) {
        self.hangs.notified().await;
    }
}

#[async_trait]
impl SmsSender for Scripted {
    async fn send(&self, _sms: &Sms) -> Result<HandedOver, SmsError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let fault = |status| Fault::Status { status };
        let does = *self.does.lock().unwrap();
        match does {
            Does::Accept => Ok(HandedOver { provider: self.name, provider_message_id: None }),
            Does::Reject => Err(SmsError::Rejected(fault(400))),
            Does::Throttle => Err(SmsError::Throttled { retry_after: None, fault: fault(429) }),
            Does::ThrottleFor(pause) => Err(SmsError::Throttled { retry_after: Some(pause), fault: fault(429) }),
            Does::Fail => Err(SmsError::Unavailable(fault(503))),
            Does::Refuse => Err(SmsError::Unavailable(Fault::Misconfigured { status: 401, code: Some(20003) })),
            Does::Doubt => Err(SmsError::Uncertain(fault(500))),
            Does::Hang => {
                self.hangs.notify_one();
                std::future::pending().await
            }
        }
    }
}
