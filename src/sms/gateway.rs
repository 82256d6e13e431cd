//! The adapter for the operator's own SMS gateway (`webhook`).
//!
//! `POST` of `{"to","text","reference"}` as JSON, with a bearer token or an HMAC of the body. A 2xx means accepted; the
//! response body is never read. To refuse a number the gateway responds with 400, 410, 422 or 451; `answer` classifies
//! every other status.
//!
//! The HMAC covers no timestamp: `reference` is unique per message, so a gateway prevents replays by refusing a known
//! reference, without comparing clocks.

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
use crate::traces::{self, Peer};

/// `sha256=` and the HMAC-SHA256 of the raw body in lower-case hex (RFC 2104, FIPS 180-4).
const SIGNATURE: HeaderName = HeaderName::from_static("x-signature");

/// Settings of the gateway.
#[derive(Clone, Debug)]
pub struct GatewaySettings {
    /// The URL to post to.
    pub url: HttpUrl,
    /// How the service authenticates.
    pub auth: GatewayAuth,
}

/// How the service authenticates to the gateway.
#[derive(Clone, Debug)]
pub enum GatewayAuth {
    /// `Authorization: Bearer <token>`.
    Bearer(SecretString),
    /// `X-Signature` with this secret.
    Hmac(SecretString),
}

/// The bearer token is not a valid header value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the webhook's bearer token may contain only visible ASCII characters")]
pub struct InvalidToken;

/// The gateway adapter.
pub struct Gateway {
    client: Client,
    url: HttpUrl,
    credential: Credential,
}

enum Credential {
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

    /// Creates the adapter.
    ///
    /// # Errors
    ///
    /// When the token is not a valid header value.
    pub fn new(settings: GatewaySettings, client: Client) -> Result<Self, InvalidToken> {
        let credential = match settings.auth {
            GatewayAuth::Bearer(token) => {
                let mut value =
                    HeaderValue::try_from(format!("Bearer {}", token.expose_secret())).map_err(|_| InvalidToken)?;
                value.set_sensitive(true);
                Credential::Bearer(value)
            }
            GatewayAuth::Hmac(secret) => Credential::Hmac(secret),
        };
        Ok(Self { client, url: settings.url, credential })
    }

    fn auth_header(&self, body: &[u8]) -> (HeaderName, HeaderValue) {
        match &self.credential {
            Credential::Bearer(value) => (AUTHORIZATION, value.clone()),
            Credential::Hmac(secret) => {
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
        let body = serde_json::to_vec(&body).expect("three strings serialize to JSON");
        let (name, value) = self.auth_header(&body);
        let request = self.client.post(self.url.as_url().clone());
        let request = request.header(CONTENT_TYPE, "application/json").header(name, value).body(body);
        let response = traces::send(request, Peer::Gateway).await.map_err(no_answer)?;
        if response.status().is_success() {
            return Ok(HandedOver { provider: Self::NAME, provider_message_id: None });
        }
        Err(refused(response.status(), response.headers()))
    }
}
