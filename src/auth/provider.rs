//! The identity provider: where its keys are (`OpenID` Connect Discovery 1.0 section 4), and how they are asked for.

use chrono::TimeDelta;
use serde::Deserialize;

use super::key_set::KeySet;
use crate::outbound::{BodyError, read_up_to};

/// How long an answer may be.
const ANSWER_LIMIT: usize = 256 * 1024;
/// How long keys are kept when the provider does not say.
const DEFAULT_LIFE: TimeDelta = TimeDelta::minutes(10);
/// Bounds for what the provider says.
const LIFE_BOUNDS: (TimeDelta, TimeDelta) = (TimeDelta::minutes(1), TimeDelta::hours(24));

/// Why the identity provider's keys could not be had.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// There was no whole answer in time.
    #[error("the identity provider does not answer in time")]
    Timeout,
    /// There was no answer, or it broke off.
    #[error("the identity provider cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    /// It answers with an error.
    #[error("the identity provider answers with status {0}")]
    Refused(u16),
    /// The answer is longer than a key set may be.
    #[error("the identity provider's answer is too large")]
    TooLarge,
    /// The answer is not what was asked for, or no key in it can be used.
    #[error("the identity provider's answer is not a key set with a key that can be used, or not a description")]
    Unreadable,
    /// The description that was found is not that of the issuer.
    #[error("the identity provider's description names another issuer, or an unencrypted address for its keys")]
    OtherIssuer,
    /// The process ended the asking.
    #[error("the identity provider's answer was not waited for")]
    Interrupted,
}

impl KeysError {
    /// Its name in the metrics.
    pub(super) fn as_str(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Unreachable(_) => "unreachable",
            Self::Refused(_) => "refused",
            Self::TooLarge => "too_large",
            Self::Unreadable => "unreadable",
            Self::OtherIssuer => "other_issuer",
            Self::Interrupted => "interrupted",
        }
    }
}

/// The provider and the way to it.
pub(super) struct Provider {
    pub(super) issuer: String,
    pub(super) jwks_url: Option<String>,
    pub(super) http: reqwest::Client,
}

#[derive(Deserialize)]
struct Description {
    issuer: String,
    jwks_uri: String,
}

impl Provider {
    /// Its keys, and how long they last. The caller has the deadline.
    pub(super) async fn keys(&self) -> Result<(KeySet, TimeDelta), KeysError> {
        let url = match &self.jwks_url {
            Some(url) => url.clone(),
            None => self.described_url().await?,
        };
        let (body, life) = self.get(&url).await?;
        Ok((KeySet::read(&body).ok_or(KeysError::Unreadable)?, life))
    }

    /// The description must be of the very issuer (section 4.3), and lead to no less protection than the issuer's own URL.
    async fn described_url(&self) -> Result<String, KeysError> {
        let url = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let (body, _) = self.get(&url).await?;
        let description: Description = serde_json::from_slice(&body).map_err(|_| KeysError::Unreadable)?;
        let is_encrypted = |url: &str| url.starts_with("https://");
        if description.issuer != self.issuer || (is_encrypted(&self.issuer) && !is_encrypted(&description.jwks_uri)) {
            return Err(KeysError::OtherIssuer);
        }
        Ok(description.jwks_uri)
    }

    async fn get(&self, url: &str) -> Result<(Vec<u8>, TimeDelta), KeysError> {
        let unreachable = |error: reqwest::Error| KeysError::Unreachable(error.without_url());
        let response = self.http.get(url).send().await.map_err(unreachable)?;
        if !response.status().is_success() {
            return Err(KeysError::Refused(response.status().as_u16()));
        }
        let life = response
            .headers()
            .get(reqwest::header::CACHE_CONTROL)
            .and_then(|value| value.to_str().ok())
            .and_then(max_age)
            .unwrap_or(DEFAULT_LIFE)
            .clamp(LIFE_BOUNDS.0, LIFE_BOUNDS.1);
        let body = read_up_to(ANSWER_LIMIT, response).await.map_err(|error| match error {
            BodyError::TooLarge => KeysError::TooLarge,
            BodyError::Interrupted(error) => KeysError::Unreachable(error),
        })?;
        Ok((body, life))
    }
}

/// `max-age` of a `Cache-Control` header, RFC 9111 section 5.2.2.1.
fn max_age(cache_control: &str) -> Option<TimeDelta> {
    let seconds = cache_control.split(',').find_map(|directive| directive.trim().strip_prefix("max-age="))?;
    TimeDelta::try_seconds(seconds.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_provider_says_how_long_its_keys_last() {
        assert_eq!(max_age("public, max-age=300, must-revalidate"), Some(TimeDelta::seconds(300)));
        assert_eq!(max_age("no-store"), None);
        assert_eq!(max_age("max-age=soon"), None);
    }
}
