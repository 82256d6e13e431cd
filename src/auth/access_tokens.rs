//! The tokens that we issue: JWTs under a secret that all replicas share, HMAC-SHA256 and nothing else.

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

/// Issuer and audience of our own tokens: nobody else reads them.
const OURSELVES: &str = "device-management";

/// A token with what the caller needs to know about it.
pub struct AccessToken {
    /// The JWT.
    pub token: SecretString,
    /// For how many seconds it is valid.
    pub expires_in: i64,
}

/// Issues and checks our own tokens.
pub struct AccessTokens {
    signing: EncodingKey,
    /// The current key, then the previous one: tokens outlive a rotation.
    verifying: Vec<DecodingKey>,
    lifetime: TimeDelta,
    validation: Validation,
    found_good: FoundGood,
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
    /// Keys from the secrets; the previous one still verifies.
    #[must_use]
    pub fn new(secret: &SecretString, previous: Option<&SecretString>, lifetime: TimeDelta) -> Self {
        let key = |secret: &SecretString| DecodingKey::from_secret(secret.expose_secret().as_bytes());
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[OURSELVES]);
        validation.set_audience(&[OURSELVES]);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        // Against our own clock, below.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        Self {
            signing: EncodingKey::from_secret(secret.expose_secret().as_bytes()),
            verifying: std::iter::once(secret).chain(previous).map(key).collect(),
            lifetime,
            validation,
            found_good: FoundGood::default(),
        }
    }

    /// Issues a token for a client that has shown who it is.
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
            .expect("claims of plain strings and numbers are always JSON, and HMAC takes any key");
        AccessToken { token: token.into(), expires_in }
    }

    /// Whether a token with this header could be ours. Decides only who is asked, not what is believed.
    pub(super) fn might_have_made(header: &TokenHeader) -> bool {
        header.algorithm == Algorithm::HS256
    }

    /// Who bears this token of ours.
    pub(super) fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<Caller, TokenError> {
        let digest = Digest::of(token);
        let bearer = match self.found_good.bearer(&digest) {
            Some(bearer) => bearer,
            None => self.found_good.keep(digest, self.bearer(token)?),
        };
        if !is_current(now, Some(bearer.not_before), bearer.expires, 0) {
            return Err(TokenError::Invalid("it is expired"));
        }
        Ok(bearer.caller.clone())
    }

    /// Who bears this token at the times that it says.
    fn bearer(&self, token: &str) -> Result<Bearer, TokenError> {
        TokenHeader::of(token)?;
        let claims = self
            .verifying
            .iter()
            .find_map(|key| jsonwebtoken::decode::<Claims>(token, key, &self.validation).ok())
            .ok_or(TokenError::Invalid("signature or claims do not fit"))?
            .claims;
        let partner = PartnerId::parse(&claims.partner).ok_or(TokenError::Invalid("its partner is malformed"))?;
        let permissions = Permissions::from_words(&claims.permissions);
        let caller = Caller { partner, client_id: claims.sub, permissions };
        Ok(Bearer { caller, not_before: claims.nbf, expires: claims.exp })
    }
}

/// What a token of ours says.
struct Bearer {
    caller: Caller,
    not_before: i64,
    expires: i64,
}

/// SHA-256 of a token: the token itself is a secret, and is not kept.
#[derive(PartialEq, Eq, Hash)]
struct Digest([u8; 32]);

impl Digest {
    fn of(token: &str) -> Self {
        Self(Sha256::digest(token).into())
    }
}

/// So many tokens are known again; more than a replica sees within the life of one.
const FOUND_GOOD_MAX: usize = 4096;

/// Tokens whose signature was found good. A client sends the same one for an hour, and signatures do not go bad: only the
/// time has to be looked at anew. No token of others gets here, so strangers can fill nothing.
#[derive(Default)]
struct FoundGood(RwLock<HashMap<Digest, Arc<Bearer>>>);

impl FoundGood {
    fn bearer(&self, digest: &Digest) -> Option<Arc<Bearer>> {
        self.0.read().expect("nobody panics with the tokens").get(digest).cloned()
    }

    fn keep(&self, digest: Digest, bearer: Bearer) -> Arc<Bearer> {
        let bearer = Arc::new(bearer);
        let mut known = self.0.write().expect("nobody panics with the tokens");
        if known.len() >= FOUND_GOOD_MAX {
            // Those in use come again, and cost what they did the first time.
            known.clear();
        }
        known.insert(digest, bearer.clone());
        bearer
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
    fn a_token_says_who_bears_it_until_it_expires() {
        let tokens = tokens("a secret of at least thirty-two bytes", None);
        let issued = tokens.issue(&caller(), at(0));
        let token = issued.token.expose_secret();
        assert_eq!(tokens.verify(token, at(3598)).unwrap(), caller());
        assert!(matches!(tokens.verify(token, at(3599)), Err(TokenError::Invalid("it is expired"))));
        assert!(tokens.verify(token, at(-30)).is_ok(), "by a clock that is a little behind");
        assert!(tokens.verify(token, at(-31)).is_err(), "not before it was issued");
    }

    #[test]
    fn a_token_outlives_one_rotation_of_the_secret() {
        let before = tokens("the first secret of thirty-two bytes", None);
        let token = before.issue(&caller(), at(0)).token;
        let rotated = tokens("the second secret of thirty-two bytes", Some("the first secret of thirty-two bytes"));
        assert!(rotated.verify(token.expose_secret(), at(1)).is_ok());
        let twice = tokens("the third secret of thirty-two bytes", Some("the second secret of thirty-two bytes"));
        assert!(twice.verify(token.expose_secret(), at(1)).is_err());
    }

    #[test]
    fn a_token_that_is_known_is_known_until_it_expires_and_no_longer() {
        let tokens = tokens("a secret of at least thirty-two bytes", None);
        let token = tokens.issue(&caller(), at(0)).token;
        for second in [0, 1, 3598] {
            assert_eq!(tokens.verify(token.expose_secret(), at(second)).unwrap(), caller());
        }
        assert!(tokens.verify(token.expose_secret(), at(-31)).is_err(), "not before it was issued");
        assert!(tokens.verify(token.expose_secret(), at(3599)).is_err(), "expired");
        let longer = format!("{}A", token.expose_secret());
        assert!(tokens.verify(&longer, at(1)).is_err(), "another token that begins like it");
    }

    #[test]
    fn tokens_that_are_known_are_bounded_in_number() {
        let tokens = tokens("a secret of at least thirty-two bytes", None);
        for second in 0..i64::try_from(FOUND_GOOD_MAX).unwrap() + 10 {
            let token = tokens.issue(&caller(), at(second)).token;
            assert!(tokens.verify(token.expose_secret(), at(second)).is_ok());
            assert!(tokens.found_good.0.read().unwrap().len() <= FOUND_GOOD_MAX);
        }
    }

    #[test]
    fn a_token_that_was_changed_is_worth_nothing() {
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
