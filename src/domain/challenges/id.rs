//! The ids of challenges of every kind.

use crate::domain::id::{DeviceId, id};

id! {
    /// The id of a challenge. Its code is derived from it, and the answer names it.
    ChallengeId
}

impl ChallengeId {
    /// The id of the device that a right answer to a binding creates. It equals the challenge's id because clients
    /// store one and use it as the other.
    #[must_use]
    pub fn bound_device(self) -> DeviceId {
        self.uuid().into()
    }
}
