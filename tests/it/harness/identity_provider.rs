//! A test double of an external identity provider: RSA and EC keys, a key set that can change or fail, and tokens with
//! any header and claims. It builds tokens without a JWT library, so that it can build invalid ones too.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine as _};
use hmac::{Hmac, KeyInit, Mac};
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::{Value, json};
use sha2::Sha256;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

/// The `aud` of the provider's tokens for this service.
pub(crate) const AUDIENCE: &str = "device-management-of-acme";

/// A JWT with this header and these claims.
pub(crate) fn jwt(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let part = |json: &Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let signature = BASE64_URL_SAFE_NO_PAD.encode(sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// HMAC-SHA256, the algorithm of the service's own tokens.
pub(crate) fn hs256(secret: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes any key");
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

/// A signing key of the provider.
#[derive(Clone)]
pub(crate) struct IssuerKey {
    id: &'static str,
    pair: Pair,
}

#[derive(Clone)]
enum Pair {
    Rsa(Arc<KeyPair>),
    Ec(SigningKey),
}

impl IssuerKey {
    /// One shared RSA key under the given id: generating a key is slow.
    pub(crate) fn rsa(id: &'static str) -> Self {
        static PAIR: LazyLock<Arc<KeyPair>> =
            LazyLock::new(|| Arc::new(KeyPair::generate(KeySize::Rsa2048).expect("an RSA key can be generated")));
        Self { id, pair: Pair::Rsa(PAIR.clone()) }
    }

    /// A P-256 key; the same seed gives the same key.
    pub(crate) fn ec(id: &'static str, seed: u8) -> Self {
        Self { id, pair: Pair::Ec(SigningKey::from_slice(&[seed; 32]).expect("a scalar below the order")) }
    }

    /// The header of a valid token.
    pub(crate) fn header(&self) -> Value {
        let algorithm = match self.pair {
            Pair::Rsa(_) => "RS256",
            Pair::Ec(_) => "ES256",
        };
        json!({"alg": algorithm, "kid": self.id, "typ": "JWT"})
    }

    /// A token with these claims.
    pub(crate) fn token(&self, claims: &Value) -> String {
        jwt(&self.header(), claims, |message| self.sign(message))
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).expect("RSA signs");
                signature
            }
            Pair::Ec(key) => {
                let signature: Signature = key.sign(message);
                signature.to_bytes().to_vec()
            }
        }
    }

    /// The public key as a JWK (RFC 7517).
    pub(crate) fn jwk(&self) -> Value {
        let text = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        match &self.pair {
            Pair::Rsa(pair) => {
                let public = pair.public_key();
                let (n, e) = (public.modulus(), public.exponent());
                let (n, e) = (n.big_endian_without_leading_zero(), e.big_endian_without_leading_zero());
                json!({"kty": "RSA", "kid": self.id, "use": "sig", "alg": "RS256", "n": text(n), "e": text(e)})
            }
            Pair::Ec(key) => {
                let point = key.verifying_key().to_sec1_point(false);
                let (x, y) = point.as_bytes()[1..].split_at(32);
                json!({"kty": "EC", "kid": self.id, "use": "sig", "alg": "ES256", "crv": "P-256", "x": text(x), "y": text(y)})
            }
        }
    }

    /// Every encoding of the RSA public key that an attacker might use as an HMAC secret (algorithm confusion).
    pub(crate) fn public_forms(&self) -> Vec<Vec<u8>> {
        let Pair::Rsa(pair) = &self.pair else { panic!("only RSA keys have these encodings") };
        let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().expect("a public key can be encoded");
        let lines: Vec<String> = BASE64_STANDARD
            .encode(spki.as_ref())
            .as_bytes()
            .chunks(64)
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect();
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"));
        let jwk = self.jwk();
        let modulus = jwk["n"].as_str().expect("an RSA key has a modulus");
        vec![
            pem.trim_end().as_bytes().to_vec(),
            pem.into_bytes(),
            spki.as_ref().to_vec(),
            pair.public_key().as_ref().to_vec(),
            modulus.as_bytes().to_vec(),
            jwk.to_string().into_bytes(),
        ]
    }
}

/// The provider, listening on loopback.
pub(crate) struct IdentityProvider {
    server: MockServer,
}

impl IdentityProvider {
    /// Starts a provider that publishes these keys.
    pub(crate) async fn with(keys: &[&IssuerKey]) -> Self {
        let provider = Self { server: MockServer::start().await };
        provider.publish(keys).await;
        provider
    }

    /// The `iss` of its tokens, which is its base URL.
    pub(crate) fn issuer(&self) -> String {
        self.server.uri()
    }

    pub(crate) fn jwks_url(&self) -> String {
        format!("{}/keys", self.server.uri())
    }

    /// Publishes these keys and no others.
    pub(crate) async fn publish(&self, keys: &[&IssuerKey]) {
        self.publish_members(keys.iter().map(|key| key.jwk()).collect()).await;
    }

    /// Publishes a key set with these members, which need not be valid keys.
    pub(crate) async fn publish_members(&self, members: Vec<Value>) {
        self.publish_as(&self.issuer(), members).await;
    }

    /// Publishes these keys, and this issuer in the discovery document.
    pub(crate) async fn describe_as(&self, issuer: &str, keys: &[&IssuerKey]) {
        self.publish_as(issuer, keys.iter().map(|key| key.jwk()).collect()).await;
    }

    async fn publish_as(&self, issuer: &str, members: Vec<Value>) {
        self.server.reset().await;
        let description = json!({"issuer": issuer, "jwks_uri": self.jwks_url()});
        self.answer("/.well-known/openid-configuration", description).await;
        self.answer("/keys", json!({"keys": members})).await;
    }

    /// Accepts requests and never answers from now on.
    pub(crate) async fn hang(&self) {
        self.server.reset().await;
        let answer = ResponseTemplate::new(200).set_delay(Duration::from_hours(1));
        Mock::given(method("GET")).respond_with(answer).mount(&self.server).await;
    }

    /// Answers 200 with HTML instead of a key set from now on.
    pub(crate) async fn answer_html(&self) {
        self.server.reset().await;
        let answer = ResponseTemplate::new(200).set_body_string("<html>Service Unavailable</html>");
        Mock::given(method("GET")).respond_with(answer).mount(&self.server).await;
    }

    /// Answers every request with 503 from now on.
    pub(crate) async fn answer_503(&self) {
        self.server.reset().await;
        Mock::given(method("GET")).respond_with(ResponseTemplate::new(503)).mount(&self.server).await;
    }

    /// The number of requests since the double was last reconfigured.
    pub(crate) async fn request_count(&self) -> usize {
        self.server.received_requests().await.expect("requests are recorded").len()
    }

    async fn answer(&self, resource: &str, body: Value) {
        let answer = ResponseTemplate::new(200).set_body_json(body);
        Mock::given(method("GET")).and(path(resource)).respond_with(answer).mount(&self.server).await;
    }
}
