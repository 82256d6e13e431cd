//! Parts that panic or hang: the service must answer all the same, and go on.

use std::sync::Arc;

use axum::Router;
use chrono::{DateTime, Utc};
use device_management::api;
use device_management::clock::Clock;
use device_management::sms::{HandedOver, Sms, SmsError, SmsSender};

use super::TestApp;
use super::surroundings::RepeatableEntropy;

/// What a panic in these parts says, and no answer may repeat.
const PANIC: &str = "the broken part speaks of secrets";

/// Which part is broken.
#[derive(Clone, Copy)]
pub(crate) enum Broken {
    /// The clock, which every check of a token asks: the handler itself panics.
    Clock,
    /// The sender of SMS: a use case panics, after it has written something.
    SmsSender,
    /// The sender of SMS again: it never comes back.
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
