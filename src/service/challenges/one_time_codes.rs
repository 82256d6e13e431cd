//! The source of one-time codes. Codes are not stored: they are derived from the challenge's id when sent and when
//! verified.

use crate::crypto::{ActivationCode, Otp, OtpSecret, OtpSecrets};
use crate::domain::challenges::ChallengeId;
use crate::service::Failure;

/// The source of codes.
pub enum OneTimeCodes {
    /// Derived from the challenge's id with a secret outside the database (docs/api-design.md#cryptography).
    Derived(OtpSecrets),
    /// The same for every challenge. Sandbox only.
    Fixed(String),
}

impl OneTimeCodes {
    /// The secret version to store with a new challenge.
    #[must_use]
    pub fn current_version(&self) -> u32 {
        match self {
            Self::Derived(secrets) => secrets.current_version(),
            Self::Fixed(_) => 0,
        }
    }

    /// The code of a challenge. Fails if the secret of its version is no longer configured.
    pub fn code(&self, version: u32, challenge: ChallengeId) -> Result<Otp, Failure> {
        let code = match self {
            Self::Derived(secrets) => secrets.derive(version, challenge.uuid().as_bytes()),
            Self::Fixed(code) => Otp::parse(code),
        };
        code.ok_or(Failure::MissingOtpSecret { version })
    }

    /// The activation code of a challenge. Fails if the secret of its version is no longer configured. In the sandbox
    /// each challenge has another code, because the answer to the partner shows it.
    pub fn activation_code(&self, version: u32, challenge: ChallengeId) -> Result<ActivationCode, Failure> {
        let id = challenge.uuid();
        let code = match self {
            Self::Derived(secrets) => secrets.derive_activation(version, id.as_bytes()),
            Self::Fixed(code) => Some(OtpSecret::new(code.as_bytes()).derive_activation(id.as_bytes())),
        };
        code.ok_or(Failure::MissingOtpSecret { version })
    }
}
