//! Hands one-time codes to people by SMS.
//!
//! The port is [`SmsSender`]; its adapters are `console`, `webhook` and `twilio`, and [`providers`] tries several in
//! order. The rule that shapes everything here: a message is never handed over a second time when the first hand-over
//! may have worked (docs/api-design.md#text-messages), so a failure always says whether it may have.

mod answer;
pub mod circuit;
pub mod console;
pub mod error;
pub mod gateway;
pub mod gsm7;
pub mod ios_domain;
pub mod providers;
pub mod sender_name;
pub mod text;
pub mod twilio;
pub mod twilio_errors;

use std::sync::Arc;

use async_trait::async_trait;
use reqwest::Client;
use uuid::Uuid;

use console::Console;
use gateway::{Gateway, GatewaySettings, InvalidToken};
use providers::Provider;
use twilio::{Twilio, TwilioSettings};

use crate::domain::numbers::MobileNumber;
pub use error::{Fault, SmsError};
pub use text::{SmsTemplate, SmsText};

/// A provider and what it needs.
#[derive(Clone, Debug)]
pub enum ProviderSettings {
    /// A log line. Sandbox only.
    Console,
    /// The operator's own gateway.
    Gateway(GatewaySettings),
    /// Twilio.
    Twilio(TwilioSettings),
}

impl ProviderSettings {
    /// The provider with these settings.
    ///
    /// # Errors
    /// When the gateway's token cannot be sent in a header.
    pub fn provider(&self, http: &Client) -> Result<Provider, InvalidToken> {
        Ok(match self {
            Self::Console => Provider { name: Console::NAME, sender: Arc::new(Console) },
            Self::Gateway(gateway) => {
                Provider { name: Gateway::NAME, sender: Arc::new(Gateway::new(gateway.clone(), http.clone())?) }
            }
            Self::Twilio(twilio) => {
                Provider { name: Twilio::NAME, sender: Arc::new(Twilio::new(twilio.clone(), http.clone())) }
            }
        })
    }
}

/// One message to one phone. `Debug` shows neither the number nor the text.
#[derive(Debug)]
pub struct Sms {
    /// Who gets it.
    pub to: MobileNumber,
    /// What it says, the code included.
    pub text: SmsText,
    /// Our id of this very message: what logs name instead of the number, and what a gateway can deduplicate by.
    pub reference: Uuid,
}

/// A provider took the message; whether the phone gets it is the network's business.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandedOver {
    /// The provider that took it.
    pub provider: &'static str,
    /// The provider's own id of the message, where it has one.
    pub provider_message_id: Option<String>,
}

/// Whoever can bring an SMS on its way.
#[async_trait]
pub trait SmsSender: Send + Sync {
    /// Hands the message over once.
    ///
    /// Dropping the future may leave the message sent: whoever sets a deadline treats it as [`SmsError::Uncertain`].
    async fn send(&self, sms: &Sms) -> Result<HandedOver, SmsError>;
}
