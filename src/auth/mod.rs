//! Bearer tokens: ours, and those of an identity provider that the operator names.
//!
//! A token is checked without a database call, so any replica can. Each key verifies exactly one algorithm (RFC 8725
//! section 3.1): `none` verifies nothing, and an HMAC never verifies with a public key. What a token says about its bearer
//! ends here, as a [`Caller`].

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

/// The one scope there is (docs/api-design.md#access-tokens).
pub const SCOPE: &str = "partners";

/// Why a token opens nothing.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Malformed, forged, expired, or meant for somebody else.
    #[error("the token is not valid: {0}")]
    Invalid(&'static str),
    /// Genuine, but without the scope or the partner that this service asks for.
    #[error("the token does not allow this: {0}")]
    Insufficient(&'static str),
    /// The identity provider's keys could not be had, so nothing can be said about the token.
    #[error("the identity provider's keys are unavailable")]
    KeysUnavailable {
        /// In how many seconds the provider may be asked again.
        retry_after: u64,
        /// Why there are none.
        source: Arc<KeysError>,
    },
}

/// Checks bearer tokens of all issuers.
pub struct BearerTokens {
    /// Ours.
    pub own: AccessTokens,
    /// The identity provider's, when one is configured.
    pub external: Option<ExternalIssuer>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl BearerTokens {
    /// Who bears this token. Waits for nothing but the keys of the identity provider, when it does not know the token's.
    ///
    /// # Errors
    /// When it is not valid now, does not allow this, or cannot be checked.
    pub async fn verify(&self, token: &str) -> Result<Caller, TokenError> {
        let caller = self.bearer(token).await?;
        // The trail would take its deeds for those of the command line.
        if caller.client_id == OPERATOR {
            return Err(TokenError::Invalid("its subject is the operator"));
        }
        Ok(caller)
    }

    async fn bearer(&self, token: &str) -> Result<Caller, TokenError> {
        let now = self.clock.now();
        if let Some(external) = &self.external {
            let header = TokenHeader::of(token)?;
            if !AccessTokens::might_have_made(&header) {
                return external.verify(token, &header, now).await;
            }
        }
        self.own.verify(token, now)
    }

    /// Asks the identity provider for its keys if those that are known are stale. Without a provider there is nothing to do.
    ///
    /// # Errors
    /// When the keys are stale and the provider brought none.
    pub async fn refresh_keys(&self) -> Result<(), Arc<KeysError>> {
        match &self.external {
            Some(external) => external.refresh_keys(self.clock.now()).await,
            None => Ok(()),
        }
    }
}

/// Seconds by which another machine's clock may differ from ours.
const LEEWAY: i64 = 30;

/// `nbf <= now < exp`, RFC 7519 sections 4.1.4 and 4.1.5. A token may be used at once on a replica whose clock is a little
/// behind; an identity provider's may also live a little longer.
fn is_current(now: DateTime<Utc>, not_before: Option<i64>, expires: i64, expiry_leeway: i64) -> bool {
    let now = now.timestamp();
    not_before.is_none_or(|not_before| not_before <= now.saturating_add(LEEWAY))
        && now < expires.saturating_add(expiry_leeway)
}
