//! The header of a token: the little of it that is looked at before the signature (RFC 7515 section 4.1).

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use jsonwebtoken::Algorithm;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

use super::TokenError;

/// What a token says about how it is signed.
#[derive(Deserialize)]
pub(super) struct TokenHeader {
    #[serde(rename = "alg")]
    pub(super) algorithm: Algorithm,
    #[serde(rename = "kid")]
    pub(super) key_id: Option<String>,
    #[serde(rename = "crit", default, deserialize_with = "is_there")]
    has_extensions: bool,
}

impl TokenHeader {
    /// The header of a JWT whose extensions are all understood. The service understands none, so `crit`, whatever its
    /// value, is a reason to refuse the token (RFC 7515 section 4.1.11).
    pub(super) fn of(token: &str) -> Result<Self, TokenError> {
        let json = token.split('.').next().and_then(|part| BASE64_URL_SAFE_NO_PAD.decode(part).ok());
        let header: Option<Self> = json.and_then(|json| serde_json::from_slice(&json).ok());
        let header = header.ok_or(TokenError::Invalid("its header is not that of a JWT"))?;
        if header.has_extensions {
            return Err(TokenError::Invalid("its header names critical extensions"));
        }
        Ok(header)
    }
}

/// A member that is there, `null` included.
fn is_there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}
