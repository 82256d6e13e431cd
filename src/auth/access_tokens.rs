//! The service's own access tokens: JWTs, signed with HMAC-SHA256 under a secret that all replicas share.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::token_header::TokenHeader;
use super::{SCOPE, TokenError, is_current};
use crate::domain::clients::{Caller, Permissions};
use crate::domain::person::PartnerId;

/// Issuer and audience of the service's own tokens.
const OURSELVES: &str = "device-management";

/// A new token with its lifetime.
pub struct AccessToken {
    /// The JWT.
    pub token: SecretString,
    /// Its lifetime in seconds.
    pub expires_in: i64,
}

/// Issues and verifies the service's own tokens.
pub struct AccessTokens {
    signing: EncodingKey,
    /// The current key, then the previous one, so that tokens stay valid after a rotation.
    verifying: Vec<DecodingKey>,
    lifetime: TimeDelta,
    validation: Validation,
    verified: VerifiedTokens,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    iat: i64,
    nbf: i64,
    exp: i64,
    scope: String,
    partner: String,
    permissions: String,
}

impl AccessTokens {
    /// Signs with `secret`; verifies with `secret` and `previous`.
    #[must_use]
    pub fn new(secret: &SecretString, previous: Option<&SecretString>, lifetime: TimeDelta) -> Self {
        let key = |secret: &SecretString| DecodingKey::from_secret(secret.expose_secret().as_bytes());
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[OURSELVES]);
        validation.set_audience(&[OURSELVES]);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        // Checked below, with the injected clock.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        Self {
            signing: EncodingKey::from_secret(secret.expose_secret().as_bytes()),
            verifying: std::iter::once(secret).chain(previous).map(key).collect(),
            lifetime,
            validation,
            verified: VerifiedTokens::default(),
        }
    }

    /// Issues a token for an authenticated client.
    #[must_use]
    pub fn issue(&self, caller: &Caller, now: DateTime<Utc>) -> AccessToken {
        let expires_in = self.lifetime.num_seconds();
        let claims = Claims {
            iss: OURSELVES.to_owned(),
            aud: OURSELVES.to_owned(),
            sub: caller.client_id.clone(),
            iat: now.timestamp(),
            nbf: now.timestamp(),
            exp: now.timestamp() + expires_in,
            scope: SCOPE.to_owned(),
            partner: caller.partner.as_str().to_owned(),
            permissions: caller.permissions.to_words(),
        };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.signing)
            .expect("strings and numbers always serialise to JSON, and HMAC accepts any key");
        AccessToken { token: token.into(), expires_in }
    }

    /// Whether a token with this header may be one of the service. Selects the verifier; trusts nothing.
    pub(super) fn may_have_issued(header: &TokenHeader) -> bool {
        header.algorithm == Algorithm::HS256
    }

    /// Verifies a token and returns its caller.
    pub(super) fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<Caller, TokenError> {
        let digest = Digest::of(token);
        let verified = match self.verified.get(&digest) {
            Some(verified) => verified,
            None => self.verified.insert(digest, self.verify_signature(token)?),
        };
        if !is_current(now, Some(verified.not_before), verified.expires, 0) {
            return Err(TokenError::Invalid("it is expired"));
        }
        Ok(verified.caller.clone())
    }

    /// Verifies everything but the validity period.
    fn verify_signature(&self, token: &str) -> Result<Verified, TokenError> {
        TokenHeader::of(token)?;
        let claims = self
            .verifying
            .iter()
            .find_map(|key| jsonwebtoken::decode::<Claims>(token, key, &self.validation).ok())
            .ok_or(TokenError::Invalid("signature, issuer or audience is wrong"))?
            .claims;
        let partner = PartnerId::parse(&claims.partner).ok_or(TokenError::Invalid("its partner is malformed"))?;
        let permissions = Permissions::from_words(&claims.permissions);
        let caller = Caller { partner, client_id: claims.sub, permissions };
        Ok(Verified { caller, not_before: claims.nbf, expires: claims.exp })
    }
}

/// The caller and the validity period of a token with a valid signature.
struct Verified {
    caller: Caller,
    not_before: i64,
    expires: i64,
}

/// The SHA-256 of a token: the token itself is a secret, and is not cached.
#[derive(PartialEq, Eq, Hash)]
struct Digest([u8; 32]);

impl Digest {
    fn of(token: &str) -> Self {
        Self(Sha256::digest(token).into())
    }
}

/// The capacity of the cache: more tokens than a replica sees within the lifetime of one.
const CACHED_MAX: usize = 4096;

/// A cache of tokens whose signature was verified. A client sends the same token for an hour, so only the validity
/// period has to be checked again. Only genuine tokens are inserted, so unauthenticated clients cannot fill the cache.
#[derive(Default)]
struct VerifiedTokens(RwLock<HashMap<Digest, Arc<Verified>>>);

impl VerifiedTokens {
    fn get(&self, digest: &Digest) -> Option<Arc<Verified>> {
        self.0.read().expect("no thread panics with the lock").get(digest).cloned()
    }

    fn insert(&self, digest: Digest, verified: Verified) -> Arc<Verified> {
        let verified = Arc::new(verified);
        let mut cached = self.0.write().expect("no thread panics with the lock");
        if cached.len() >= CACHED_MAX {
            // Tokens in use are verified and inserted again.
            cached.clear();
        }
        cached.insert(digest, verified.clone());
        verified
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clients::Permission;

    fn tokens(secret: &str, previous: Option<&str>) -> AccessTokens {
        AccessTokens::new(&secret.into(), previous.map(SecretString::from).as_ref(), TimeDelta::seconds(3599))
    }

    fn caller() -> Caller {
        Caller {
            partner: PartnerId::parse("acme").unwrap(),
            client_id: "a-client".into(),
            permissions: Permissions::from_iter([Permission::AssertNumbers]),
        }
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
    }

    #[test]
    fn a_token_is_valid_until_it_expires() {
        let tokens = tokens("a secret of at least thirty-two bytes", None);
        let issued = tokens.issue(&caller(), at(0));
        let token = issued.token.expose_secret();
        assert_eq!(tokens.verify(token, at(3598)).unwrap(), caller());
        assert!(matches!(tokens.verify(token, at(3599)), Err(TokenError::Invalid("it is expired"))));
        assert!(tokens.verify(token, at(-30)).is_ok(), "accepted by a replica whose clock is 30 s behind");
        assert!(tokens.verify(token, at(-31)).is_err(), "not before it was issued");
    }

    #[test]
    fn a_token_stays_valid_after_one_rotation_of_the_secret_and_not_after_two() {
        let before = tokens("the first secret of thirty-two bytes", None);
        let token = before.issue(&caller(), at(0)).token;
        let rotated = tokens("the second secret of thirty-two bytes", Some("the first secret of thirty-two bytes"));
        assert!(rotated.verify(token.expose_secret(), at(1)).is_ok());
        let twice = tokens("the third secret of thirty-two bytes", Some("the second secret of thirty-two bytes"));
        assert!(twice.verify(token.expose_secret(), at(1)).is_err());
    }

    #[test]
    fn a_cached_token_is_refused_outside_its_validity_period() {
        let tokens = tokens("a secret of at least thirty-two bytes", None);
        let token = tokens.issue(&caller(), at(0)).token;
        for second in [0, 1, 3598] {
            assert_eq!(tokens.verify(token.expose_secret(), at(second)).unwrap(), caller());
        }
        assert!(tokens.verify(token.expose_secret(), at(-31)).is_err(), "not before it was issued");
        assert!(tokens.verify(token.expose_secret(), at(3599)).is_err(), "expired");
        let longer = format!("{}A", token.expose_secret());
        assert!(tokens.verify(&longer, at(1)).is_err(), "a longer token with the cached one as prefix");
    }

    #[test]
    fn the_cache_of_verified_tokens_is_bounded() {
        let tokens = tokens("a secret of at least thirty-two bytes", None);
        for second in 0..i64::try_from(CACHED_MAX).unwrap() + 10 {
            let token = tokens.issue(&caller(), at(second)).token;
            assert!(tokens.verify(token.expose_secret(), at(second)).is_ok());
            assert!(tokens.verified.0.read().unwrap().len() <= CACHED_MAX);
        }
    }

    #[test]
    fn a_modified_unsigned_or_foreign_token_is_refused() {
        let tokens = tokens("a secret of at least thirty-two bytes", None);
        let token = tokens.issue(&caller(), at(0)).token;
        let parts: Vec<&str> = token.expose_secret().split('.').collect();
        let none = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{}.", parts[1]);
        assert!(tokens.verify(&none, at(1)).is_err(), "alg none");
        let unsigned = format!("{}.{}.", parts[0], parts[1]);
        assert!(tokens.verify(&unsigned, at(1)).is_err(), "no signature");
        let foreign = self::tokens("another secret of thirty-two bytes!!", None).issue(&caller(), at(0)).token;
        assert!(tokens.verify(foreign.expose_secret(), at(1)).is_err(), "another secret");
    }
}
