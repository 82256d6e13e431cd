//! Writes the message to the log instead of sending it, so that a sandbox needs no provider.
//!
//! The one place where a code may be logged; production refuses to start with it. The number is masked even here. The
//! message is one line, at target `sms.console`, level INFO, and reads
//! `SMS to +49*******01: Sandbox: Your code is 212212. Never ...`: the first six digits in a row after `SMS to` are the
//! code, in every language and log format.

use async_trait::async_trait;

use super::{HandedOver, Sms, SmsError, SmsSender};

/// Where the lines stand; `RUST_LOG=sms.console=info` shows nothing else.
pub const TARGET: &str = "sms.console";

/// The sender that only writes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Console;

impl Console {
    /// The name in settings, logs and metrics.
    pub const NAME: &'static str = "console";
}

#[async_trait]
impl SmsSender for Console {
    async fn send(&self, sms: &Sms) -> Result<HandedOver, SmsError> {
        let line = sms.text.expose().replace('\n', "\\n");
        tracing::info!(target: TARGET, reference = %sms.reference, "SMS to {}: {line}", sms.to);
        Ok(HandedOver { provider: Self::NAME, provider_message_id: None })
    }
}
