//! Errors of sending an SMS, classified by whether failover is allowed.
//!
//! [`SmsError`] is the classification: stop, try the next provider, or uncertain because the message may have been
//! sent. [`Fault`] is the cause, for the log. Neither contains a number, a text, a credential or a provider's error
//! message, which may repeat any of these.

use std::time::Duration;

/// A message was not sent, or may not have been.
#[derive(Debug, thiserror::Error)]
pub enum SmsError {
    /// The provider refuses this message or number; another provider would too.
    #[error("the SMS provider refuses the message")]
    Rejected(#[source] Fault),
    /// The provider is rate-limiting.
    #[error("the SMS provider is rate-limiting")]
    Throttled {
        /// The pause that the provider asks for, if any.
        retry_after: Option<Duration>,
        /// The cause.
        #[source]
        fault: Fault,
    },
    /// The provider certainly did not accept the message.
    #[error("the SMS provider did not accept the message")]
    Unavailable(#[source] Fault),
    /// The request was sent, and the response is missing or ambiguous.
    #[error("the SMS provider may have accepted the message")]
    Uncertain(#[source] Fault),
}

/// The cause of an [`SmsError`].
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// No connection, so nothing was sent.
    #[error("no connection")]
    NoConnection(#[source] reqwest::Error),
    /// The connection was closed after the request may have been sent.
    #[error("the connection was closed before the response")]
    Interrupted(#[source] reqwest::Error),
    /// No response before the timeout.
    #[error("timeout")]
    Deadline,
    /// An error status without an error code.
    #[error("status {status}")]
    Status {
        /// The HTTP status.
        status: u16,
    },
    /// An error code of the provider.
    #[error("status {status}, code {code}")]
    Code {
        /// The HTTP status.
        status: u16,
        /// The provider's error code.
        code: u32,
    },
    /// Misconfiguration: the provider refuses the credentials, account, URL or sender, not the message.
    #[error("the provider refuses the credentials or settings: status {status}, code {}", code.map_or_else(|| "-".to_owned(), |c| c.to_string()))]
    Misconfigured {
        /// The HTTP status.
        status: u16,
        /// The provider's error code, if any.
        code: Option<u32>,
    },
    /// No provider was tried: each has an open circuit or a pause by `Retry-After`.
    #[error("every provider is skipped")]
    AllSkipped,
    /// The response could not be parsed.
    #[error("unreadable response with status {status}")]
    Unreadable {
        /// The HTTP status.
        status: u16,
    },
}

impl SmsError {
    /// Whether a retry of the same message may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Rejected(_) => false,
            Self::Throttled { .. } | Self::Unavailable(_) | Self::Uncertain(_) => true,
        }
    }

    /// The cause.
    #[must_use]
    pub fn fault(&self) -> &Fault {
        match self {
            Self::Rejected(fault)
            | Self::Throttled { fault, .. }
            | Self::Unavailable(fault)
            | Self::Uncertain(fault) => fault,
        }
    }

    /// The name in metrics and logs.
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
