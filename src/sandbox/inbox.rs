//! The inbox of the sandbox: the latest messages of all partners, with their texts and codes, in memory.
//!
//! No type in here has a `Debug` that shows a code or a text.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::domain::numbers::MobileNumber;
use crate::domain::person::{PartnerId, PersonId};
use crate::domain::sms::language::Language;
use crate::sms::{CodePurpose, HandedOver, SmsError};

/// How many messages are kept.
const CAPACITY: usize = 500;

/// A message that was given to the SMS provider, whatever its outcome.
pub struct InboxMessage {
    /// The reference of the message. For a message with a code it is the id of the challenge.
    pub id: Uuid,
    /// The partner of the person.
    pub partner: PartnerId,
    /// The recipient.
    pub person_id: PersonId,
    /// Their number.
    pub to: MobileNumber,
    /// What the message is for.
    pub purpose: MessagePurpose,
    /// The language of the text.
    pub language: Language,
    /// The whole text.
    pub text: String,
    /// Its code; `None` for a notice.
    pub code: Option<String>,
    /// The outcome of sending it.
    pub status: MessageStatus,
    /// When its outcome was known.
    pub created_at: DateTime<Utc>,
}

/// What a message is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MessagePurpose {
    /// It has a code.
    Code(CodePurpose),
    /// It tells the person that a device was bound with their activation code.
    ActivationNotice,
}

impl MessagePurpose {
    /// The name in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Code(CodePurpose::NewPhone) => "bind_device",
            Self::Code(CodePurpose::LogIn) => "log_in",
            Self::Code(CodePurpose::Number) => "confirm_number",
            Self::ActivationNotice => "device_bound_by_letter",
        }
    }
}

/// The outcome of sending a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MessageStatus {
    /// A provider accepted it.
    Sent,
    /// The provider refuses the message or the number.
    Rejected,
    /// The provider is rate-limiting.
    Throttled,
    /// No provider accepted it.
    Failed,
    /// A provider may have accepted it.
    Uncertain,
}

impl MessageStatus {
    /// The status for a result of the SMS sender.
    #[must_use]
    pub fn of(result: &Result<HandedOver, SmsError>) -> Self {
        match result {
            Ok(_) => Self::Sent,
            Err(SmsError::Rejected(_)) => Self::Rejected,
            Err(SmsError::Throttled { .. }) => Self::Throttled,
            Err(SmsError::Unavailable(_)) => Self::Failed,
            Err(SmsError::Uncertain(_)) => Self::Uncertain,
        }
    }

    /// The name in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Rejected => "rejected",
            Self::Throttled => "throttled",
            Self::Failed => "failed",
            Self::Uncertain => "uncertain",
        }
    }
}

/// Which of a partner's messages to list.
#[derive(Clone, Default)]
pub struct InboxFilter {
    /// Only those of this person.
    pub person_id: Option<PersonId>,
    /// Only those to this number.
    pub to: Option<MobileNumber>,
}

impl InboxFilter {
    fn admits(&self, message: &InboxMessage) -> bool {
        self.person_id.as_ref().is_none_or(|person| *person == message.person_id)
            && self.to.as_ref().is_none_or(|number| *number == message.to)
    }
}

/// The latest messages, oldest first.
#[derive(Default)]
pub struct Inbox(Mutex<VecDeque<Arc<InboxMessage>>>);

impl Inbox {
    /// Adds a message. Of all partners together, the last 500 are kept.
    pub fn record(&self, message: InboxMessage) {
        let mut messages = self.messages();
        if messages.len() == CAPACITY {
            messages.pop_front();
        }
        messages.push_back(Arc::new(message));
    }

    /// The partner's messages, newest first.
    #[must_use]
    pub fn list(&self, partner: &PartnerId, filter: &InboxFilter) -> Vec<Arc<InboxMessage>> {
        let messages = self.messages();
        let listed = messages.iter().rev().filter(|message| message.partner == *partner && filter.admits(message));
        listed.cloned().collect()
    }

    /// Ignores poisoning: no code panics between the writes of an update.
    fn messages(&self) -> MutexGuard<'_, VecDeque<Arc<InboxMessage>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
