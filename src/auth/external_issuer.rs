//! Tokens of an identity provider that the operator names, for companies that have one already.

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

/// Whom to trust, and what its tokens look like.
#[derive(Clone, Debug)]
pub struct ExternalIssuerSettings {
    /// The `iss` of its tokens.
    pub issuer: String,
    /// The `aud` that its tokens for us carry.
    pub audience: String,
    /// Where its keys are; without it, found through its `/.well-known/openid-configuration`.
    pub jwks_url: Option<String>,
    /// The claim that names the partner.
    pub partner_claim: String,
}

/// Checks tokens of the identity provider.
pub struct ExternalIssuer {
    settings: ExternalIssuerSettings,
    keys: Arc<JsonWebKeys>,
}

impl ExternalIssuer {
    /// Nothing is asked for yet.
    #[must_use]
    pub fn new(settings: ExternalIssuerSettings, http: reqwest::Client) -> Self {
        let (issuer, jwks_url) = (settings.issuer.clone(), settings.jwks_url.clone());
        Self { settings, keys: JsonWebKeys::new(Provider { issuer, jwks_url, http }) }
    }

    /// Asks for the keys if those that are known are stale.
    pub(super) async fn refresh_keys(&self, now: DateTime<Utc>) -> Result<(), Arc<KeysError>> {
        self.keys.refresh(now).await
    }

    /// Who bears this token.
    pub(super) async fn verify(
        &self,
        token: &str,
        header: &TokenHeader,
        now: DateTime<Utc>,
    ) -> Result<Caller, TokenError> {
        let key_id = header.key_id.as_deref().ok_or(TokenError::Invalid("it names no key"))?;
        let keys = self.keys.with_key(key_id, now).await?;
        if !keys.has(key_id) {
            return Err(TokenError::Invalid("its key is unknown"));
        }
        let claims = keys.find(key_id, header.algorithm).find_map(|key| self.claims(token, key));
        self.caller(&claims.ok_or(TokenError::Invalid("signature or claims do not fit"))?, now)
    }

    /// What a token says that this key verifies.
    fn claims(&self, token: &str, key: &VerifyingKey) -> Option<Map<String, Value>> {
        let mut validation = Validation::new(key.algorithm);
        validation.set_issuer(&[&self.settings.issuer]);
        validation.set_audience(&[&self.settings.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // Against our own clock, below.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        let decoded = jsonwebtoken::decode::<Map<String, Value>>(token, &key.decoding, &validation);
        // RFC 7519 section 4.1.1: one issuer. The library takes a list of which one fits, too.
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

/// A subject is recorded and logged: at most as long as `OpenID` Connect Core section 2 allows, and nothing that no database
/// or log line can hold.
fn is_client_id(sub: &str) -> bool {
    (1..=255).contains(&sub.len()) && !sub.chars().any(char::is_control)
}

fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    claims.get(name).and_then(Value::as_str)
}

/// RFC 7519 section 2: seconds, possibly with a fraction.
#[expect(clippy::cast_possible_truncation, reason = "`as` saturates, and dates that far away are all the same")]
fn numeric_date(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_f64().map(|seconds| seconds as i64))
}

/// `scope` is a string of words (RFC 8693 section 4.2); some providers send an array, or call it `scp`.
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
