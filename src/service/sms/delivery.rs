//! Hands a message to the SMS providers. In the sandbox, the inbox then shows it with its outcome.

use crate::crypto::Otp;
use crate::domain::person::{PartnerId, PersonId};
use crate::domain::sms::language::Language;
use crate::sandbox::{InboxMessage, MessagePurpose, MessageStatus};
use crate::service::Service;
use crate::sms::{CodePurpose, Sms, SmsError};

/// A message, with the data that the inbox shows of it.
pub(in crate::service) struct Message<'a> {
    /// The message.
    pub(in crate::service) sms: Sms,
    /// The partner of the person.
    pub(in crate::service) partner: &'a PartnerId,
    /// The recipient.
    pub(in crate::service) person: &'a PersonId,
    /// The language of the text.
    pub(in crate::service) language: Language,
    /// The code in the text; `None` for a notice.
    pub(in crate::service) code: Option<(CodePurpose, Otp)>,
}

impl Service {
    /// Sends the message. An uncertain result counts as sent: the message may arrive, and if it does not, the person can
    /// request another code.
    pub(in crate::service) async fn hand_over(&self, message: Message<'_>) -> Result<(), SmsError> {
        let result = self.sms.send(&message.sms).await;
        if let Some(sandbox) = &self.sandbox {
            sandbox.inbox.record(self.inbox_message(message, MessageStatus::of(&result)));
        }
        match result {
            Ok(_) | Err(SmsError::Uncertain(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn inbox_message(&self, message: Message<'_>, status: MessageStatus) -> InboxMessage {
        let Message { sms, partner, person, language, code } = message;
        let purpose = code.as_ref().map(|(purpose, _)| MessagePurpose::Code(*purpose));
        InboxMessage {
            id: sms.reference,
            partner: partner.clone(),
            person_id: person.clone(),
            text: sms.text.expose().to_owned(),
            to: sms.to,
            purpose: purpose.unwrap_or(MessagePurpose::ActivationNotice),
            language,
            code: code.map(|(_, otp)| otp.expose().to_owned()),
            status,
            created_at: self.clock.now(),
        }
    }
}
