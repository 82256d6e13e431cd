//! Access tokens: those that the service issues, and those of the configured identity provider.
//!
//! Verification needs no database call. Each key verifies exactly one algorithm (RFC 8725 section 3.1): `none` is never
//! accepted, and an HMAC is never verified with a public key. The result of a verification is a [`Caller`]; no other
//! module reads claims.

mod access_tokens;
mod external_issuer;
mod json_web_keys;
mod key_set;
mod provider;
mod token_header;

pub use access_tokens::{AccessToken, AccessTokens};
pub use external_issuer::{ExternalIssuer, ExternalIssuerSettings};
pub use provider::KeysError;

use std::sync::Arc;

use chrono::{DateTime, Utc};

use self::token_header::TokenHeader;
use crate::clock::Clock;
use crate::domain::audit::OPERATOR;
use crate::domain::clients::Caller;

/// The only scope (docs/api-design.md#access-tokens).
pub const SCOPE: &str = "partners";

/// Why a token is refused.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Malformed, forged, expired, or issued for another audience.
    #[error("the token is not valid: {0}")]
    Invalid(&'static str),
    /// Genuine, but without the required scope or a partner.
    #[error("the token does not allow this: {0}")]
    Insufficient(&'static str),
    /// The identity provider's keys could not be fetched, so the token cannot be verified.
    #[error("the identity provider's keys are unavailable")]
    KeysUnavailable {
        /// The seconds until the next fetch is allowed.
        retry_after: u64,
        /// Why the last fetch failed.
        source: Arc<KeysError>,
    },
}

/// Verifies bearer tokens of all issuers.
pub struct BearerTokens {
    /// The service's own tokens.
    pub own: AccessTokens,
    /// Tokens of the identity provider, if one is configured.
    pub external: Option<ExternalIssuer>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl BearerTokens {
    /// Verifies a token and returns its caller. Waits only if the identity provider's key of the token is not cached.
    ///
    /// # Errors
    /// When the token is invalid, insufficient, or cannot be verified.
    pub async fn verify(&self, token: &str) -> Result<Caller, TokenError> {
        let caller = self.verify_by_issuer(token).await?;
        // The audit trail uses this id for the command line.
        if caller.client_id == OPERATOR {
            return Err(TokenError::Invalid("its subject is the operator"));
        }
        Ok(caller)
    }

    async fn verify_by_issuer(&self, token: &str) -> Result<Caller, TokenError> {
        let now = self.clock.now();
        if let Some(external) = &self.external {
            let header = TokenHeader::of(token)?;
            if !AccessTokens::may_have_issued(&header) {
                return external.verify(token, &header, now).await;
            }
        }
        self.own.verify(token, now)
    }

    /// Fetches the identity provider's keys if the cached ones are stale. Does nothing without a provider.
    ///
    /// # Errors
    /// When the keys are stale and could not be fetched.
    pub async fn refresh_keys(&self) -> Result<(), Arc<KeysError>> {
        match &self.external {
            Some(external) => external.refresh_keys(self.clock.now()).await,
            None => Ok(()),
        }
    }
}

/// The accepted clock skew of other machines, in seconds.
const LEEWAY: i64 = 30;

/// `nbf <= now < exp` (RFC 7519 sections 4.1.4 and 4.1.5). `nbf` has a leeway, so that a replica whose clock is
/// slightly behind accepts a new token; `exp` has one for tokens of the identity provider only.
fn is_current(now: DateTime<Utc>, not_before: Option<i64>, expires: i64, expiry_leeway: i64) -> bool {
    let now = now.timestamp();
    not_before.is_none_or(|not_before| not_before <= now.saturating_add(LEEWAY))
        && now < expires.saturating_add(expiry_leeway)
}
