//! Where one-time codes come from. They are not stored: whoever needs one derives it again from the challenge's id.

use uuid::Uuid;

use crate::crypto::{Otp, OtpSecrets};

/// The source of codes.
pub enum OneTimeCodes {
    /// Derived from the challenge's id under a secret that lives outside the database (contract section 3).
    Derived(OtpSecrets),
    /// The same for every challenge. Sandbox only.
    Fixed(String),
}

impl OneTimeCodes {
    /// The version to store with a new challenge.
    #[must_use]
    pub fn current_version(&self) -> u32 {
        match self {
            Self::Derived(secrets) => secrets.current_version(),
            Self::Fixed(_) => 0,
        }
    }

    /// The code of a challenge. `None` when its secret was rotated away.
    #[must_use]
    pub fn code(&self, version: u32, challenge: Uuid) -> Option<Otp> {
        match self {
            Self::Derived(secrets) => secrets.derive(version, challenge.as_bytes()),
            Self::Fixed(code) => Otp::parse(code),
        }
    }
}
