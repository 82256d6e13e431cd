//! Doubles that panic or hang. The service must still answer, and serve later requests.

use std::sync::Arc;

use axum::Router;
use chrono::{DateTime, Utc};
use device_management::api;
use device_management::clock::Clock;
use device_management::sms::{HandedOver, Sms, SmsError, SmsSender};

use super::TestApp;
use super::surroundings::RepeatableEntropy;

/// The message of the panics, which no answer may contain.
const PANIC: &str = "the broken part speaks of secrets";

/// The broken part.
#[derive(Clone, Copy)]
pub(crate) enum Broken {
    /// The clock, which every token check reads: the handler panics.
    Clock,
    /// The SMS sender: a use case panics after its first write.
    SmsSender,
    /// The SMS sender: it never returns.
    HangingSmsSender,
}

impl TestApp {
    /// Another replica on the same database, with a broken part and these settings.
    pub(crate) async fn broken_replica(&self, part: Broken, settings: &[(&str, &str)]) -> Router {
        let clock: Arc<dyn Clock> = match part {
            Broken::Clock => Arc::new(Panics),
            Broken::SmsSender | Broken::HangingSmsSender => self.app.service.clock.clone(),
        };
        let sms: Arc<dyn SmsSender> = match part {
            Broken::Clock | Broken::SmsSender => Arc::new(Panics),
            Broken::HangingSmsSender => Arc::new(Hangs),
        };
        let parts = (clock, RepeatableEntropy::of_replica(u64::MAX), Some(sms));
        api::router(Self::assemble(self.database.url(), settings, parts).await)
    }
}

struct Panics;

impl Clock for Panics {
    fn now(&self) -> DateTime<Utc> {
        panic!("{PANIC}");
    }
}

#[async_trait::async_trait]
impl SmsSender for Panics {
    async fn send(&self, _sms: &Sms) -> Result<HandedOver, SmsError> {
        panic!("{PANIC}");
    }
}

struct Hangs;

#[async_trait::async_trait]
impl SmsSender for Hangs {
    async fn send(&self, _sms: &Sms) -> Result<HandedOver, SmsError> {
        std::future::pending().await
    }
}
