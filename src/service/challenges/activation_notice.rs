//! Tells a person by SMS that a device was bound with their activation code, so that the theft of a letter is noticed.
//!
//! The message is sent after the commit. A failure is logged and has no effect on the request. The message has no code
//! and does not count against the SMS limits: there is at most one per activation code.

use std::error::Error;

use crate::domain::challenges::Binding;
use crate::domain::person::PartnerId;
use crate::service::Service;
use crate::service::sms::delivery::Message;
use crate::sms::Sms;

/// Whether the person is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ActivationNotice {
    /// By SMS, if they have a verified number.
    Sms,
    /// The person is not told.
    None,
}

impl ActivationNotice {
    /// `None` when the text is no name of one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "sms" => Some(Self::Sms),
            "none" => Some(Self::None),
            _ => None,
        }
    }
}

impl Service {
    /// Tells the person of a device that was just bound.
    pub(super) async fn notify_of_binding(&self, partner: &PartnerId, binding: &Binding) {
        let Some(number) = binding.number.as_ref().filter(|_| self.policy.activation_notice == ActivationNotice::Sms)
        else {
            return;
        };
        if self.policy.sms_countries.admit(number).is_err() {
            return;
        }
        let language = self.policy.language;
        let text = self.sms_template.activation_notice(language);
        let sms = Sms { to: number.clone(), text, reference: binding.id.uuid() };
        let message = Message { sms, partner, person: &binding.person_id, language, code: None };
        if let Err(error) = self.hand_over(message).await {
            let error = &error as &dyn Error;
            tracing::warn!(error, device.id = %binding.id, "activation notice not sent");
        }
    }
}
