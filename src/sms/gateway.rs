//! Hands the message to the operator's own gateway.
//!
//! `POST` of `{"to","text","reference"}` as JSON, with a bearer token or an HMAC of the body. A 2xx means taken; the body
//! of an answer is never read. To refuse a number the gateway answers 400, 410, 422 or 451; `answer` reads every other status.
//!
//! The HMAC carries no timestamp: a replayed request repeats its `reference`, which is unique per message, and a gateway
//! that refuses a known reference needs no second clock to be safe from replays, ours included.

use async_trait::async_trait;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Client;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use sha2::Sha256;

use crate::outbound::HttpUrl;
use crate::sms::answer::{no_answer, refused};
use crate::sms::{HandedOver, Sms, SmsError, SmsSender};

/// `sha256=` and the HMAC-SHA256 of the raw body in lower-case hex (RFC 2104, FIPS 180-4).
const SIGNATURE: HeaderName = HeaderName::from_static("x-signature");

/// Where the gateway is and how it knows us.
#[derive(Clone, Debug)]
pub struct GatewaySettings {
    /// The address to post to.
    pub url: HttpUrl,
    /// The proof that it is us.
    pub auth: GatewayAuth,
}

/// The proof that a request comes from us.
#[derive(Clone, Debug)]
pub enum GatewayAuth {
    /// `Authorization: Bearer <token>`.
    Bearer(SecretString),
    /// `X-Signature` with this secret.
    Hmac(SecretString),
}

/// The bearer token cannot stand in a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the webhook's bearer token may contain only visible ASCII characters")]
pub struct InvalidToken;

/// The operator's gateway.
pub struct Gateway {
    client: Client,
    url: HttpUrl,
    proof: Proof,
}

enum Proof {
    Bearer(HeaderValue),
    Hmac(SecretString),
}

#[derive(Serialize)]
struct Body<'a> {
    to: &'a str,
    text: &'a str,
    reference: &'a str,
}

impl Gateway {
    /// The name in settings, logs and metrics.
    pub const NAME: &'static str = "webhook";

    /// Makes the adapter.
    ///
    /// # Errors
    ///
    /// When the token cannot be sent.
    pub fn new(settings: GatewaySettings, client: Client) -> Result<Self, InvalidToken> {
        let proof = match settings.auth {
            GatewayAuth::Bearer(token) => {
                let mut value =
                    HeaderValue::try_from(format!("Bearer {}", token.expose_secret())).map_err(|_| InvalidToken)?;
                value.set_sensitive(true);
                Proof::Bearer(value)
            }
            GatewayAuth::Hmac(secret) => Proof::Hmac(secret),
        };
        Ok(Self { client, url: settings.url, proof })
    }

    fn proof_of(&self, body: &[u8]) -> (HeaderName, HeaderValue) {
        match &self.proof {
            Proof::Bearer(value) => (AUTHORIZATION, value.clone()),
            Proof::Hmac(secret) => {
                let key = secret.expose_secret().as_bytes();
                let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
                mac.update(body);
                let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
                let mut value = HeaderValue::try_from(signature).expect("hex digits are visible ASCII");
                value.set_sensitive(true);
                (SIGNATURE, value)
            }
        }
    }
}

#[async_trait]
impl SmsSender for Gateway {
    async fn send(&self, sms: &Sms) -> Result<HandedOver, SmsError> {
        let reference = sms.reference.hyphenated().to_string();
        let body = Body { to: sms.to.as_e164(), text: sms.text.expose(), reference: &reference };
        let body = serde_json::to_vec(&body).expect("three strings are always JSON");
        let (name, value) = self.proof_of(&body);
        let request = self.client.post(self.url.as_url().clone());
        let request = request.header(CONTENT_TYPE, "application/json").header(name, value).body(body);
        let response = request.send().await.map_err(no_answer)?;
        if response.status().is_success() {
            return Ok(HandedOver { provider: Self::NAME, provider_message_id: None });
        }
        Err(refused(response.status(), response.headers()))
    }
}
