//! How a hand-over fails, told by what may be done next.
//!
//! [`SmsError`] is the decision (stop, try another, or neither because the message may be on its way); [`Fault`] is the
//! reason, for the log. Neither ever holds a number, a text, a credential or a provider's free words, which may repeat
//! any of these.

use std::time::Duration;

/// A message was not handed over, or nobody knows.
#[derive(Debug, thiserror::Error)]
pub enum SmsError {
    /// The provider refuses this message to this number; another provider would too.
    #[error("the SMS provider refuses the message")]
    Rejected(#[source] Fault),
    /// The provider takes no more messages for now.
    #[error("the SMS provider takes no more messages for now")]
    Throttled {
        /// How long the provider asks to be left alone, when it says so.
        retry_after: Option<Duration>,
        /// What it answered.
        #[source]
        fault: Fault,
    },
    /// The provider certainly did not take the message.
    #[error("the SMS provider did not take the message")]
    Unavailable(#[source] Fault),
    /// The request was sent, and no answer says what became of it.
    #[error("the SMS provider may have taken the message")]
    Uncertain(#[source] Fault),
}

/// What was observed.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// No connection, hence nothing was sent.
    #[error("no connection")]
    NoConnection(#[source] reqwest::Error),
    /// The connection ended after the request may have been sent.
    #[error("the connection ended before the answer")]
    Interrupted(#[source] reqwest::Error),
    /// No answer within the deadline.
    #[error("no answer within the deadline")]
    Deadline,
    /// The answer's HTTP status says it all.
    #[error("status {status}")]
    Status {
        /// The HTTP status.
        status: u16,
    },
    /// The provider names the reason with a number of its own.
    #[error("status {status}, code {code}")]
    Code {
        /// The HTTP status.
        status: u16,
        /// The provider's error number.
        code: u32,
    },
    /// The provider refuses us, not the message: credentials, account, address or sender are wrong.
    #[error("the provider refuses our settings: status {status}, code {}", code.map_or_else(|| "-".to_owned(), |c| c.to_string()))]
    Misconfigured {
        /// The HTTP status.
        status: u16,
        /// The provider's error number, when it gave one.
        code: Option<u32>,
    },
    /// Nobody was asked: every provider failed too often of late, or wants to be left alone.
    #[error("every provider is skipped for now")]
    AllSkipped,
    /// The answer is not what this provider answers.
    #[error("unreadable answer with status {status}")]
    Unreadable {
        /// The HTTP status.
        status: u16,
    },
}

impl SmsError {
    /// Whether the same message may get through later: the fault is the provider's, not the message's.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Rejected(_) => false,
            Self::Throttled { .. } | Self::Unavailable(_) | Self::Uncertain(_) => true,
        }
    }

    /// What was observed.
    #[must_use]
    pub fn fault(&self) -> &Fault {
        match self {
            Self::Rejected(fault)
            | Self::Throttled { fault, .. }
            | Self::Unavailable(fault)
            | Self::Uncertain(fault) => fault,
        }
    }

    /// One word for metrics and logs.
    #[must_use]
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Rejected(_) => "rejected",
            Self::Throttled { .. } => "throttled",
            Self::Unavailable(_) => "unavailable",
            Self::Uncertain(_) => "uncertain",
        }
    }
}
