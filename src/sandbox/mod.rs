//! The tools of the sandbox (docs/sandbox.md): an inbox with the messages that were sent, and a clock that a tester
//! can move forward.
//!
//! `app::assemble` creates a [`Sandbox`] with `MODE=sandbox` only, and it is the only switch: without it, the API has no
//! routes under `/sandbox`, nothing is recorded, and time is real.

mod clock;
mod inbox;

use std::sync::Arc;

pub use clock::{ADVANCE_MAX, SandboxClock, TooFar};
pub use inbox::{Inbox, InboxFilter, InboxMessage, MessagePurpose, MessageStatus};

use crate::clock::Clock;

/// The tools of the sandbox.
pub struct Sandbox {
    /// The latest messages.
    pub inbox: Inbox,
    /// The clock of the service.
    pub clock: Arc<SandboxClock>,
}

impl Sandbox {
    /// An empty inbox, and a clock that shows the time of `real` until it is advanced.
    #[must_use]
    pub fn new(real: Arc<dyn Clock>) -> Self {
        Self { inbox: Inbox::default(), clock: Arc::new(SandboxClock::new(real)) }
    }
}
