//! Bearer tokens: ours, and those of an identity provider that the operator names.
//!
//! A token is checked without a database call, so any replica can. Each key verifies exactly one algorithm (RFC 8725
//! section 3.1): `none` verifies nothing, and an HMAC never verifies with a public key. What a token says about its bearer
//! ends here, as a [`Caller`].

mod access_tokens;
mod external_issuer;
mod json_web_keys;

pub use access_tokens::{AccessToken, AccessTokens};
pub use external_issuer::{ExternalIssuer, ExternalIssuerSettings};
pub use json_web_keys::KeysError;

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::clock::Clock;
use crate::domain::client::Caller;

/// The one scope there is (contract section 1.1).
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
    KeysUnavailable(#[source] KeysError),
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
    /// Who bears this token.
    ///
    /// # Errors
    /// When it is not valid now, does not allow this, or cannot be checked.
    pub async fn verify(&self, token: &str) -> Result<Caller, TokenError> {
        let now = self.clock.now();
        if let Some(external) = &self.external {
            let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Invalid("it is not a JWT"))?;
            if !AccessTokens::might_have_made(&header) {
                return external.verify(token, &header, now).await;
            }
        }
        self.own.verify(token, now)
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
