//! The console provider: logs messages instead of sending them, so that a sandbox needs no SMS provider.
//!
//! The only place that logs a code; production refuses to start with it. The number is masked. The message is one line,
//! at target `sms.console`, level INFO, and reads `SMS to +49*******01: Sandbox: Your code 212212 logs you in. ...`: the
//! first six digits in a row after `SMS to` are the code, in every language and log format. To a magic number it fails
//! (`magic_numbers`); a message that is not sent is not logged.

use async_trait::async_trait;

use super::magic_numbers::MagicNumber;
use super::{HandedOver, Sms, SmsError, SmsSender};

/// The target of the log lines; `RUST_LOG=sms.console=info` shows only these.
pub const TARGET: &str = "sms.console";

/// The console provider.
#[derive(Clone, Copy, Debug, Default)]
pub struct Console;

impl Console {
    /// The name in settings, logs and metrics.
    pub const NAME: &'static str = "console";
}

#[async_trait]
impl SmsSender for Console {
    async fn send(&self, sms: &Sms) -> Result<HandedOver, SmsError> {
        let magic = MagicNumber::of(&sms.to);
        if matches!(magic, None | Some(MagicNumber::LosesAnswer)) {
            let line = sms.text.expose().replace('\n', "\\n");
            tracing::info!(target: TARGET, reference = %sms.reference, "SMS to {}: {line}", sms.to);
        }
        match magic {
            None => Ok(HandedOver { provider: Self::NAME, provider_message_id: None }),
            Some(magic) => Err(magic.error().await),
        }
    }
}
