//! The header of a token: the members that are read before the signature is verified (RFC 7515 section 4.1).

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use jsonwebtoken::Algorithm;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

use super::TokenError;

/// The header of a JWT.
#[derive(Deserialize)]
pub(super) struct TokenHeader {
    #[serde(rename = "alg")]
    pub(super) algorithm: Algorithm,
    #[serde(rename = "kid")]
    pub(super) key_id: Option<String>,
    #[serde(rename = "crit", default, deserialize_with = "is_present")]
    has_extensions: bool,
}

impl TokenHeader {
    /// Reads the header. The service supports no extensions, so `crit` with any value is refused (RFC 7515 section
    /// 4.1.11).
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

/// True for a member that is present, even if `null`.
fn is_present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}
