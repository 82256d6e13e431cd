//! Sends one-time codes by SMS.
//!
//! The port is [`SmsSender`]; its adapters are `console`, `webhook` and `twilio`, and [`providers`] does failover
//! between them. Invariant: a message is never sent a second time if the first attempt may have succeeded
//! (docs/api-design.md#text-messages), so every error says whether it may have.

mod answer;
pub mod circuit;
pub mod console;
pub mod error;
pub mod gateway;
pub mod gsm7;
pub mod ios_domain;
pub mod magic_numbers;
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
pub use text::{CodePurpose, SmsTemplate, SmsText};

/// A provider with its settings.
#[derive(Clone, Debug)]
pub enum ProviderSettings {
    /// Logs messages. Sandbox only.
    Console,
    /// The operator's own gateway.
    Gateway(GatewaySettings),
    /// Twilio.
    Twilio(TwilioSettings),
}

impl ProviderSettings {
    /// Creates the provider.
    ///
    /// # Errors
    /// When the gateway's token is not a valid header value.
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

/// A message. `Debug` shows neither the full number nor the text.
#[derive(Debug)]
pub struct Sms {
    /// The recipient.
    pub to: MobileNumber,
    /// The text, which contains the code.
    pub text: SmsText,
    /// The id of the message, which is logged instead of the number. A gateway can deduplicate by it.
    pub reference: Uuid,
}

/// A provider accepted the message. Says nothing about delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandedOver {
    /// The provider that accepted it.
    pub provider: &'static str,
    /// The provider's id of the message, if any.
    pub provider_message_id: Option<String>,
}

/// A sender of SMS.
#[async_trait]
pub trait SmsSender: Send + Sync {
    /// Sends the message once.
    ///
    /// The message may have been sent when the future is dropped, so a timeout has to be treated as
    /// [`SmsError::Uncertain`].
    async fn send(&self, sms: &Sms) -> Result<HandedOver, SmsError>;
}
