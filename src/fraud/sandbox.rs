//! The fraud check of the sandbox without SEON: words in `device_data` select the outcome
//! (docs/sandbox.md#magic-values). Other data is not assessed.

use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use super::{Assessment, FraudCheck, FraudError, FraudQuery, FraudState};

/// Base64 in both alphabets, with or without padding.
const BASE64: [GeneralPurpose; 2] = {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    [GeneralPurpose::new(&STANDARD, config), GeneralPurpose::new(&URL_SAFE, config)]
};

/// The outcome that a word selects.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MagicWord {
    /// The device is declined.
    Decline,
    /// A human should look at it.
    Review,
    /// No response before the timeout.
    Timeout,
    /// A response that cannot be parsed.
    Broken,
}

impl MagicWord {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Decline, Self::Review, Self::Timeout, Self::Broken];

    /// The word in `device_data`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Decline => "sandbox:decline",
            Self::Review => "sandbox:review",
            Self::Timeout => "sandbox:timeout",
            Self::Broken => "sandbox:broken",
        }
    }

    /// The word in these data or in their Base64 decoding.
    fn of(device_data: &str) -> Option<Self> {
        let decoded = BASE64.iter().filter_map(|base64| base64.decode(device_data).ok());
        let decoded = decoded.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        [device_data.to_owned()].into_iter().chain(decoded).find_map(|text| Self::within(&text))
    }

    fn within(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|word| text.contains(word.as_str()))
    }
}

/// The fraud check of the sandbox.
#[derive(Clone, Copy, Debug)]
pub struct SandboxCheck {
    /// How long a check that times out takes.
    pub deadline: Duration,
}

#[async_trait]
impl FraudCheck for SandboxCheck {
    async fn assess(&self, query: &FraudQuery<'_>) -> Result<Option<Assessment>, FraudError> {
        let Some(word) = MagicWord::of(query.device_data) else { return Ok(None) };
        let state = match word {
            MagicWord::Decline => FraudState::Decline,
            MagicWord::Review => FraudState::Review,
            MagicWord::Timeout => {
                tokio::time::sleep(self.deadline).await;
                return Err(FraudError::Timeout);
            }
            MagicWord::Broken => return Err(FraudError::Unreadable),
        };
        Ok(Some(Assessment { state, score: None, provider_id: None }))
    }
}
