//! The SEON adapter (Fraud API v2).
//!
//! Only device fingerprinting is enabled: every other SEON module looks up the person in other sources, at a price and
//! without their knowledge. The payload is sent as `session`, unchanged. SEON also reports failures with status 200.
//! The timeout covers the whole call, and the response is limited to `ANSWER_MAX`.

mod answer;
pub mod payload;

use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::HeaderValue;
use reqwest::{Client, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use tokio::time::timeout;

use self::answer::Answer;
use self::payload::has_seon_shape;
use super::{Assessment, FraudAction, FraudCheck, FraudError, FraudQuery};
use crate::outbound::{BodyError, HttpUrl, read_up_to};
use crate::traces::{self, Peer};

/// The largest accepted response; with all details of a device it has about ten thousand bytes.
const ANSWER_MAX: usize = 256 * 1024;

/// Settings of the SEON adapter.
#[derive(Clone, Debug)]
pub struct SeonSettings {
    /// `https://api.seon.io`, or a regional URL.
    pub base_url: HttpUrl,
    /// The licence key.
    pub api_key: SecretString,
    /// The timeout of the whole call.
    pub deadline: Duration,
}

/// The licence key is not a valid header value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the SEON API key may contain only visible ASCII characters")]
pub struct InvalidApiKey;

/// The SEON adapter.
pub struct Seon {
    client: Client,
    url: Url,
    api_key: HeaderValue,
    deadline: Duration,
}

impl Seon {
    /// Creates the adapter.
    ///
    /// # Errors
    ///
    /// When the key is not a valid header value.
    pub fn new(settings: SeonSettings, client: Client) -> Result<Self, InvalidApiKey> {
        let SeonSettings { base_url, api_key, deadline } = settings;
        let mut api_key = HeaderValue::from_str(api_key.expose_secret()).map_err(|_| InvalidApiKey)?;
        api_key.set_sensitive(true);
        Ok(Self { client, url: base_url.below(&["SeonRestService", "fraud-api", "v2"]), api_key, deadline })
    }

    async fn ask(&self, query: &FraudQuery<'_>) -> Result<Assessment, FraudError> {
        let request = self.client.post(self.url.clone()).header("X-API-KEY", self.api_key.clone());
        let response = traces::send(request.json(&Question::of(query)), Peer::Seon).await;
        let response = response.map_err(|e| FraudError::Unreachable(e.without_url()))?;
        if response.status() != StatusCode::OK {
            return Err(FraudError::Refused { status: response.status().as_u16() });
        }
        let body = read_up_to(ANSWER_MAX, response).await.map_err(|error| match error {
            BodyError::TooLarge => FraudError::TooLarge,
            BodyError::Interrupted(cause) => FraudError::Unreachable(cause),
        })?;
        Answer::read(&body)?.assessment()
    }
}

#[async_trait]
impl FraudCheck for Seon {
    async fn assess(&self, query: &FraudQuery<'_>) -> Result<Option<Assessment>, FraudError> {
        // With an answer, clients may send any string as `device_data` (docs/api-design.md#fraud-check).
        if query.action == FraudAction::DeviceVerification && !has_seon_shape(query.device_data) {
            return Ok(None);
        }
        timeout(self.deadline, self.ask(query)).await.unwrap_or(Err(FraudError::Timeout)).map(Some)
    }
}

#[derive(Serialize)]
struct Question<'a> {
    config: Config,
    action_type: &'static str,
    user_id: &'a str,
    transaction_id: String,
    session: &'a str,
}

#[derive(Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "SEON's switches, one field each")]
struct Config {
    device_fingerprinting: bool,
    ip_api: bool,
    email_api: bool,
    phone_api: bool,
    aml_api: bool,
    ignore_velocity_rules: bool,
}

impl<'a> Question<'a> {
    fn of(query: &FraudQuery<'a>) -> Self {
        let config = Config {
            device_fingerprinting: true,
            ip_api: false,
            email_api: false,
            phone_api: false,
            aml_api: false,
            ignore_velocity_rules: false,
        };
        Self {
            config,
            action_type: query.action.as_str(),
            user_id: query.person_id,
            transaction_id: query.transaction_id.hyphenated().to_string(),
            session: query.device_data,
        }
    }
}
