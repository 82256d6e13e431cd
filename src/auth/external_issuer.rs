//! Verification of access tokens that the operator's own identity provider issues.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use jsonwebtoken::Validation;
use serde_json::{Map, Value};

use super::json_web_keys::JsonWebKeys;
use super::key_set::VerifyingKey;
use super::provider::{KeysError, Provider};
use super::token_header::TokenHeader;
use super::{LEEWAY, SCOPE, TokenError, is_current};
use crate::domain::clients::{Caller, Permissions};
use crate::domain::person::PartnerId;

/// The settings of the identity provider.
#[derive(Clone, Debug)]
pub struct ExternalIssuerSettings {
    /// The `iss` of its tokens.
    pub issuer: String,
    /// The `aud` of its tokens for this service.
    pub audience: String,
    /// The URL of its JWK set; without it, found through `/.well-known/openid-configuration`.
    pub jwks_url: Option<String>,
    /// The claim that names the partner.
    pub partner_claim: String,
}

/// Verifies tokens of the identity provider.
pub struct ExternalIssuer {
    settings: ExternalIssuerSettings,
    keys: Arc<JsonWebKeys>,
}

impl ExternalIssuer {
    /// Fetches nothing yet.
    #[must_use]
    pub fn new(settings: ExternalIssuerSettings, http: reqwest::Client) -> Self {
        let (issuer, jwks_url) = (settings.issuer.clone(), settings.jwks_url.clone());
        Self { settings, keys: JsonWebKeys::new(Provider { issuer, jwks_url, http }) }
    }

    /// Fetches the keys if the cached ones are stale.
    pub(super) async fn refresh_keys(&self, now: DateTime<Utc>) -> Result<(), Arc<KeysError>> {
        self.keys.refresh(now).await
    }

    /// Fetches the keys once, without the cache. Returns the numbers of usable and of skipped keys.
    ///
    /// # Errors
    /// When the keys cannot be fetched or parsed.
    pub async fn fetch_keys(&self) -> Result<(usize, usize), KeysError> {
        let keys = self.keys.fetch_uncached().await?;
        Ok((keys.len(), keys.skipped.values().sum()))
    }

    /// Verifies a token and returns its caller.
    pub(super) async fn verify(
        &self,
        token: &str,
        header: &TokenHeader,
        now: DateTime<Utc>,
    ) -> Result<Caller, TokenError> {
        let key_id = header.key_id.as_deref().ok_or(TokenError::Invalid("it has no kid"))?;
        let keys = self.keys.with_key(key_id, now).await?;
        if !keys.has(key_id) {
            return Err(TokenError::Invalid("its key is unknown"));
        }
        let claims = keys.find(key_id, header.algorithm).find_map(|key| self.claims(token, key));
        self.caller(&claims.ok_or(TokenError::Invalid("signature, issuer or audience is wrong"))?, now)
    }

    /// The claims of a token, if this key verifies it.
    fn claims(&self, token: &str, key: &VerifyingKey) -> Option<Map<String, Value>> {
        let mut validation = Validation::new(key.algorithm);
        validation.set_issuer(&[&self.settings.issuer]);
        validation.set_audience(&[&self.settings.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // Checked below, with the injected clock.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        let decoded = jsonwebtoken::decode::<Map<String, Value>>(token, &key.decoding, &validation);
        // `iss` is a single string (RFC 7519 section 4.1.1); the library also accepts a list.
        decoded.ok().map(|token| token.claims).filter(|claims| text(claims, "iss") == Some(&self.settings.issuer))
    }

    fn caller(&self, claims: &Map<String, Value>, now: DateTime<Utc>) -> Result<Caller, TokenError> {
        let expires = claims.get("exp").and_then(numeric_date).ok_or(TokenError::Invalid("its exp is malformed"))?;
        let not_before = match claims.get("nbf") {
            Some(value) => Some(numeric_date(value).ok_or(TokenError::Invalid("its nbf is malformed"))?),
            None => None,
        };
        if !is_current(now, not_before, expires, LEEWAY) {
            return Err(TokenError::Invalid("it is expired"));
        }
        let words = scope_words(claims);
        if !words.split_ascii_whitespace().any(|word| word == SCOPE) {
            return Err(TokenError::Insufficient("its scope lacks `partners`"));
        }
        let partner = text(claims, &self.settings.partner_claim).and_then(PartnerId::parse);
        let partner = partner.ok_or(TokenError::Insufficient("it names no partner"))?;
        let client_id = text(claims, "sub").filter(|sub| is_client_id(sub));
        let client_id = client_id.ok_or(TokenError::Invalid("its sub is malformed"))?.to_owned();
        Ok(Caller { partner, client_id, permissions: Permissions::from_words(&words) })
    }
}

/// The subject is stored and logged: it has at most the 255 characters of `OpenID` Connect Core section 2, and no
/// control characters.
fn is_client_id(sub: &str) -> bool {
    (1..=255).contains(&sub.len()) && !sub.chars().any(char::is_control)
}

fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    claims.get(name).and_then(Value::as_str)
}

/// RFC 7519 section 2: seconds, possibly with a fraction.
#[expect(clippy::cast_possible_truncation, reason = "`as` saturates, which is right for dates out of range")]
fn numeric_date(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_f64().map(|seconds| seconds as i64))
}

/// `scope` is a space-separated string (RFC 8693 section 4.2); some providers send an array, or the claim `scp`.
fn scope_words(claims: &Map<String, Value>) -> String {
    ["scope", "scp", "permissions"]
        .iter()
        .filter_map(|name| claims.get(*name))
        .flat_map(|value| match value {
            Value::String(words) => vec![words.as_str()],
            Value::Array(words) => words.iter().filter_map(Value::as_str).collect(),
            _ => vec![],
        })
        .collect::<Vec<_>>()
        .join(" ")
}
