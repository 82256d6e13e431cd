//! Parts that panic: the service must answer all the same, and go on.

use std::sync::Arc;

use axum::Router;
use chrono::{DateTime, Utc};
use device_management::api;
use device_management::clock::Clock;
use device_management::sms::{Accepted, Sms, SmsError, SmsSender};

use super::TestApp;
use super::surroundings::RepeatableEntropy;

/// What a panic in these parts says, and no answer may repeat.
const PANIC: &str = "the broken part speaks of secrets";

/// Which part is broken.
#[derive(Clone, Copy)]
pub(crate) enum Broken {
    /// The clock, which every check of a token asks: the handler itself panics.
    Clock,
    /// The sender of SMS: a use case panics, which runs apart from its handler.
    SmsSender,
}

impl TestApp {
    /// Another replica on the same database, with a broken part.
    pub(crate) async fn broken_replica(&self, part: Broken) -> Router {
        let clock: Arc<dyn Clock> = match part {
            Broken::Clock => Arc::new(Panics),
            Broken::SmsSender => self.app.service.clock.clone(),
        };
        let parts = (clock, RepeatableEntropy::of_replica(u64::MAX), Some(Arc::new(Panics) as _));
        api::router(Self::assemble(self.database.url(), &[], parts).await)
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
    async fn send(&self, _sms: &Sms) -> Result<Accepted, SmsError> {
        panic!("{PANIC}");
    }
}
