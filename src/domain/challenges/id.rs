//! The ids of challenges, of whatever kind.

use crate::domain::id::{DeviceId, id};

id! {
    /// A challenge: what its code is derived from, and what its answer names.
    ChallengeId
}

impl ChallengeId {
    /// The device that a binding's challenge makes when it is met. Clients store one id and use it as the other, so
    /// the device takes over the challenge's.
    #[must_use]
    pub fn bound_device(self) -> DeviceId {
        self.uuid().into()
    }
}
