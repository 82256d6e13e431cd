//! HTTP requests to the identity provider: its metadata (`OpenID` Connect Discovery 1.0 section 4) and its JWK set.

use std::time::Duration;

use chrono::TimeDelta;
use serde::Deserialize;

use super::key_set::KeySet;
use crate::outbound::{BodyError, read_up_to};
use crate::traces::{self, Peer};

/// The timeout of one fetch, including the provider's metadata.
const DEADLINE: Duration = Duration::from_secs(3);
/// The largest accepted answer, in bytes.
const ANSWER_LIMIT: usize = 256 * 1024;
/// How long keys are cached without a `max-age`.
const DEFAULT_LIFE: TimeDelta = TimeDelta::minutes(10);
/// The bounds for `max-age`.
const LIFE_BOUNDS: (TimeDelta, TimeDelta) = (TimeDelta::minutes(1), TimeDelta::hours(24));

/// Why the identity provider's keys could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The answer was not complete within the timeout.
    #[error("the identity provider timed out")]
    Timeout,
    /// There was no answer, or it was incomplete.
    #[error("the identity provider is unreachable")]
    Unreachable(#[source] reqwest::Error),
    /// It answered with an error status.
    #[error("the identity provider answered with status {0}")]
    Refused(u16),
    /// The answer is larger than the limit.
    #[error("the identity provider's answer is too large")]
    TooLarge,
    /// The answer cannot be parsed, or has no usable key.
    #[error("the identity provider's answer is not a valid metadata document, or not a JWK set with a usable key")]
    Unreadable,
    /// The metadata is not that of the issuer, or its `jwks_uri` is not encrypted.
    #[error("the identity provider's metadata names another issuer, or an unencrypted jwks_uri")]
    OtherIssuer,
    /// The fetch was cancelled or panicked.
    #[error("the fetch of the identity provider's keys was interrupted")]
    Interrupted,
}

impl KeysError {
    /// Its label value in the metrics.
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

/// The provider's addresses, and the HTTP client.
pub(super) struct Provider {
    pub(super) issuer: String,
    pub(super) jwks_url: Option<String>,
    pub(super) http: reqwest::Client,
}

#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

impl Provider {
    /// Fetches the keys, and how long they may be cached, within [`DEADLINE`].
    pub(super) async fn keys_in_time(&self) -> Result<(KeySet, TimeDelta), KeysError> {
        tokio::time::timeout(DEADLINE, self.keys()).await.unwrap_or(Err(KeysError::Timeout))
    }

    async fn keys(&self) -> Result<(KeySet, TimeDelta), KeysError> {
        let url = match &self.jwks_url {
            Some(url) => url.clone(),
            None => self.discover_jwks_url().await?,
        };
        let (body, life) = self.get(&url).await?;
        Ok((KeySet::read(&body).ok_or(KeysError::Unreadable)?, life))
    }

    /// The metadata must have exactly the configured issuer (section 4.3). `jwks_uri` must be `https` if the issuer is.
    async fn discover_jwks_url(&self) -> Result<String, KeysError> {
        let url = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let (body, _) = self.get(&url).await?;
        let metadata: Metadata = serde_json::from_slice(&body).map_err(|_| KeysError::Unreadable)?;
        let is_encrypted = |url: &str| url.starts_with("https://");
        if metadata.issuer != self.issuer || (is_encrypted(&self.issuer) && !is_encrypted(&metadata.jwks_uri)) {
            return Err(KeysError::OtherIssuer);
        }
        Ok(metadata.jwks_uri)
    }

    async fn get(&self, url: &str) -> Result<(Vec<u8>, TimeDelta), KeysError> {
        let unreachable = |error: reqwest::Error| KeysError::Unreachable(error.without_url());
        let response = traces::send(self.http.get(url), Peer::IdentityProvider).await.map_err(unreachable)?;
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

/// `max-age` of a `Cache-Control` header (RFC 9111 section 5.2.2.1).
fn max_age(cache_control: &str) -> Option<TimeDelta> {
    let seconds = cache_control.split(',').find_map(|directive| directive.trim().strip_prefix("max-age="))?;
    TimeDelta::try_seconds(seconds.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_age_of_cache_control_is_parsed() {
        assert_eq!(max_age("public, max-age=300, must-revalidate"), Some(TimeDelta::seconds(300)));
        assert_eq!(max_age("no-store"), None);
        assert_eq!(max_age("max-age=soon"), None);
    }
}
