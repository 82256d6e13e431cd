//! Numbers for which the console provider fails, so that a tester can see each failure (docs/sandbox.md#magic-values).
//!
//! The failure is that of a provider: failover, the timeout, the circuit breaker and the request do the rest. Each ending
//! has providers of its own, and so circuits of its own: one that opens does not stop codes to other numbers.

use std::future::pending;

use async_trait::async_trait;

use super::providers::Providers;
use super::{Fault, HandedOver, Sms, SmsError, SmsSender};
use crate::domain::numbers::MobileNumber;

/// The outcome that the last four digits of a number select.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MagicNumber {
    /// The provider refuses the number.
    Rejected,
    /// The provider is rate-limiting, without a `Retry-After`, which would pause it for this ending.
    Throttled,
    /// The provider does not answer, and the message is not sent.
    Hangs,
    /// The provider does not accept the message.
    Fails,
    /// The provider sends the message and does not say so.
    LosesAnswer,
}

impl MagicNumber {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Rejected, Self::Throttled, Self::Hangs, Self::Fails, Self::LosesAnswer];

    /// The last four digits.
    #[must_use]
    pub fn ending(self) -> &'static str {
        match self {
            Self::Rejected => "0001",
            Self::Throttled => "0002",
            Self::Hangs => "0003",
            Self::Fails => "0004",
            Self::LosesAnswer => "0005",
        }
    }

    /// `None` for an ordinary number.
    #[must_use]
    pub fn of(number: &MobileNumber) -> Option<Self> {
        Self::ALL.into_iter().find(|magic| number.as_e164().ends_with(magic.ending()))
    }

    /// The error of the provider. For [`Self::Hangs`] the future never ends: the caller's timeout drops it.
    pub(super) async fn error(self) -> SmsError {
        match self {
            Self::Rejected => SmsError::Rejected(Fault::Status { status: 400 }),
            Self::Throttled => SmsError::Throttled { retry_after: None, fault: Fault::Status { status: 429 } },
            Self::Hangs => pending().await,
            Self::Fails => SmsError::Unavailable(Fault::Status { status: 503 }),
            Self::LosesAnswer => SmsError::Uncertain(Fault::Status { status: 502 }),
        }
    }
}

/// Failover with separate circuits for each ending.
pub struct SeparatedProviders {
    ordinary: Providers,
    magic: Vec<(MagicNumber, Providers)>,
}

impl SeparatedProviders {
    /// `providers` creates the same failover each time.
    ///
    /// # Errors
    /// The error of `providers`.
    pub fn new<E>(providers: impl Fn() -> Result<Providers, E>) -> Result<Self, E> {
        let magic = MagicNumber::ALL.into_iter().map(|magic| Ok((magic, providers()?)));
        Ok(Self { ordinary: providers()?, magic: magic.collect::<Result<_, _>>()? })
    }
}

#[async_trait]
impl SmsSender for SeparatedProviders {
    async fn send(&self, sms: &Sms) -> Result<HandedOver, SmsError> {
        let magic = MagicNumber::of(&sms.to);
        let separate = self.magic.iter().find(|(ending, _)| magic == Some(*ending)).map(|(_, providers)| providers);
        separate.unwrap_or(&self.ordinary).send(sms).await
    }
}
