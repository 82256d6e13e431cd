//! The identity provider's public keys (RFC 7517), fetched when needed and kept for a while.
//!
//! A key that we do not know is looked up anew at most once a minute, so that forged tokens cannot make us hammer the
//! provider. When the provider is away, the keys that we have go on working.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::TokenError;
use crate::outbound::read_up_to;

/// How long one fetch may take.
const DEADLINE: Duration = Duration::from_secs(3);
/// How long an answer may be.
const ANSWER_LIMIT: usize = 256 * 1024;
/// How often an unknown key may make us ask again.
const UNKNOWN_KEY_PAUSE: TimeDelta = TimeDelta::minutes(1);
/// How long keys are kept when the provider does not say.
const DEFAULT_LIFE: TimeDelta = TimeDelta::minutes(10);
/// Bounds for what the provider says.
const LIFE_BOUNDS: (TimeDelta, TimeDelta) = (TimeDelta::minutes(1), TimeDelta::hours(24));

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The provider cannot be reached, or answers with an error.
    #[error("the identity provider does not answer")]
    NoAnswer(#[source] reqwest::Error),
    /// What it answers is too long, broken off, or not a key set.
    #[error("the identity provider's answer is unreadable")]
    Unreadable,
}

/// A key and the only algorithm that it verifies.
pub(super) struct VerifyingKey {
    pub(super) decoding: DecodingKey,
    pub(super) algorithm: Algorithm,
}

struct KeySet {
    keys: HashMap<String, Arc<VerifyingKey>>,
    fetched_at: DateTime<Utc>,
    stale_at: DateTime<Utc>,
}

pub(super) struct JsonWebKeys {
    issuer: String,
    url: Option<String>,
    http: reqwest::Client,
    known: RwLock<Option<Arc<KeySet>>>,
    /// Held by whoever fetches: the others wait for what it brings instead of asking too. Holds the last attempt's time.
    fetching: tokio::sync::Mutex<Option<DateTime<Utc>>>,
}

#[derive(Deserialize)]
struct Discovery {
    jwks_uri: String,
}

impl JsonWebKeys {
    pub(super) fn new(issuer: String, url: Option<String>, http: reqwest::Client) -> Self {
        Self { issuer, url, http, known: RwLock::new(None), fetching: tokio::sync::Mutex::new(None) }
    }

    /// The key with this id. `None` when the provider has none.
    pub(super) async fn key(&self, id: &str, now: DateTime<Utc>) -> Result<Option<Arc<VerifyingKey>>, TokenError> {
        let known = self.known();
        if let Some(set) = known.as_ref().filter(|set| now < set.stale_at)
            && let Some(key) = set.keys.get(id)
        {
            return Ok(Some(key.clone()));
        }
        let refreshed = self.refresh(known.as_ref().map(|set| set.fetched_at), now).await;
        match (refreshed, self.known()) {
            (_, Some(set)) => Ok(set.keys.get(id).cloned()),
            (Err(error), None) => Err(TokenError::KeysUnavailable(error)),
            (Ok(()), None) => Ok(None),
        }
    }

    fn known(&self) -> Option<Arc<KeySet>> {
        self.known.read().expect("nothing panics while it holds this lock").clone()
    }

    /// Fetches the keys, unless somebody has since `seen` or tried within the pause.
    async fn refresh(&self, seen: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Result<(), KeysError> {
        let mut last_attempt = self.fetching.lock().await;
        let somebody_has = self.known().map(|set| set.fetched_at) != seen;
        let too_soon = seen.is_some() && last_attempt.is_some_and(|attempt| now < attempt + UNKNOWN_KEY_PAUSE);
        if somebody_has || too_soon {
            return Ok(());
        }
        *last_attempt = Some(now);
        match self.fetch().await {
            Ok((set, life)) => {
                let keys = set.keys.iter().filter_map(usable_key).collect();
                let set = KeySet { keys, fetched_at: now, stale_at: now + life };
                *self.known.write().expect("nothing panics while it holds this lock") = Some(Arc::new(set));
                Ok(())
            }
            Err(error) => {
                tracing::warn!(error = %error, "keys of the identity provider could not be fetched");
                Err(error)
            }
        }
    }

    async fn fetch(&self) -> Result<(JwkSet, TimeDelta), KeysError> {
        if let Some(url) = &self.url {
            return self.get(url).await;
        }
        let discovery = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let (Discovery { jwks_uri }, _) = self.get(&discovery).await?;
        self.get(&jwks_uri).await
    }

    async fn get<T: DeserializeOwned>(&self, url: &str) -> Result<(T, TimeDelta), KeysError> {
        let request = self.http.get(url).timeout(DEADLINE).send();
        let response = request.await.and_then(reqwest::Response::error_for_status).map_err(KeysError::NoAnswer)?;
        let life = response
            .headers()
            .get(reqwest::header::CACHE_CONTROL)
            .and_then(|value| value.to_str().ok())
            .and_then(max_age)
            .unwrap_or(DEFAULT_LIFE)
            .clamp(LIFE_BOUNDS.0, LIFE_BOUNDS.1);
        let body = read_up_to(ANSWER_LIMIT, response).await.map_err(|_| KeysError::Unreadable)?;
        Ok((serde_json::from_slice(&body).map_err(|_| KeysError::Unreadable)?, life))
    }
}

/// `max-age` of a `Cache-Control` header, RFC 9111 section 5.2.2.1.
fn max_age(cache_control: &str) -> Option<TimeDelta> {
    let seconds = cache_control.split(',').find_map(|directive| directive.trim().strip_prefix("max-age="))?;
    TimeDelta::try_seconds(seconds.parse().ok()?)
}

/// A signature key that has an id and a public-key algorithm. Symmetric keys in a public set are nobody's secret.
fn usable_key(key: &Jwk) -> Option<(String, Arc<VerifyingKey>)> {
    let signs = key.common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature);
    let id = key.common.key_id.clone().filter(|_| signs)?;
    let algorithm = match (&key.algorithm, key.common.key_algorithm) {
        (AlgorithmParameters::RSA(_), None | Some(KeyAlgorithm::RS256)) => Algorithm::RS256,
        (AlgorithmParameters::RSA(_), Some(KeyAlgorithm::RS384)) => Algorithm::RS384,
        (AlgorithmParameters::RSA(_), Some(KeyAlgorithm::RS512)) => Algorithm::RS512,
        (AlgorithmParameters::RSA(_), Some(KeyAlgorithm::PS256)) => Algorithm::PS256,
        (AlgorithmParameters::EllipticCurve(ec), None | Some(KeyAlgorithm::ES256))
            if ec.curve == EllipticCurve::P256 =>
        {
            Algorithm::ES256
        }
        (AlgorithmParameters::EllipticCurve(ec), None | Some(KeyAlgorithm::ES384))
            if ec.curve == EllipticCurve::P384 =>
        {
            Algorithm::ES384
        }
        (AlgorithmParameters::OctetKeyPair(_), None | Some(KeyAlgorithm::EdDSA)) => Algorithm::EdDSA,
        _ => return None,
    };
    let decoding = DecodingKey::from_jwk(key).ok()?;
    Some((id, Arc::new(VerifyingKey { decoding, algorithm })))
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

    #[test]
    fn a_symmetric_key_in_a_public_set_verifies_nothing() {
        let key: Jwk = serde_json::from_str(r#"{"kty":"oct","kid":"a","alg":"HS256","k":"c2VjcmV0"}"#).unwrap();
        assert!(usable_key(&key).is_none());
    }

    #[test]
    fn an_encryption_key_verifies_nothing() {
        let key: Jwk = serde_json::from_str(r#"{"kty":"RSA","kid":"a","use":"enc","n":"AQAB","e":"AQAB"}"#).unwrap();
        assert!(usable_key(&key).is_none());
    }
}
