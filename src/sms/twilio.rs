//! The Twilio adapter (REST API 2010-04-01, resource Messages).
//!
//! Twilio gives an error code with a refusal; `twilio_errors` classifies the codes. Its error messages are dropped,
//! because they repeat the phone number.

use async_trait::async_trait;
use reqwest::header::HeaderMap;
use reqwest::{Client, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::answer::{no_answer, refused, retry_after};
use super::error::Fault;
use super::twilio_errors::{Blame, blame};
use super::{HandedOver, Sms, SmsError, SmsSender};
use crate::outbound::{BodyError, HttpUrl, read_up_to};
use crate::traces::{self, Peer};

/// The largest accepted response; a message resource has about one thousand bytes.
const ANSWER_MAX: usize = 64 * 1024;

/// Settings of the Twilio adapter.
#[derive(Clone, Debug)]
pub struct TwilioSettings {
    /// `https://api.twilio.com`, or a regional URL.
    pub base_url: HttpUrl,
    /// The account's id, `AC...`.
    pub account_sid: String,
    /// The account's secret.
    pub auth_token: SecretString,
    /// The sender that the phone shows.
    pub sender: TwilioSender,
}

/// The sender that the phone shows.
#[derive(Clone, Debug)]
pub enum TwilioSender {
    /// A number or an alphanumeric sender id of the account.
    From(String),
    /// A messaging service of the account, `MG...`, which chooses the sender.
    MessagingService(String),
}

/// The Twilio adapter.
pub struct Twilio {
    client: Client,
    messages: Url,
    account_sid: String,
    auth_token: SecretString,
    sender: TwilioSender,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Form<'a> {
    to: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    messaging_service_sid: Option<&'a str>,
    body: &'a str,
}

#[derive(Deserialize)]
struct Message {
    sid: String,
}

#[derive(Deserialize)]
struct Refusal {
    code: u32,
}

impl Twilio {
    /// The name in settings, logs and metrics.
    pub const NAME: &'static str = "twilio";

    /// Creates the adapter.
    #[must_use]
    pub fn new(settings: TwilioSettings, client: Client) -> Self {
        let TwilioSettings { base_url, account_sid, auth_token, sender } = settings;
        let messages = base_url.below(&["2010-04-01", "Accounts", &account_sid, "Messages.json"]);
        Self { client, messages, account_sid, auth_token, sender }
    }

    fn form<'a>(&'a self, sms: &'a Sms) -> Form<'a> {
        let (from, messaging_service_sid) = match &self.sender {
            TwilioSender::From(from) => (Some(from.as_str()), None),
            TwilioSender::MessagingService(sid) => (None, Some(sid.as_str())),
        };
        Form { to: sms.to.as_e164(), from, messaging_service_sid, body: sms.text.expose() }
    }
}

#[async_trait]
impl SmsSender for Twilio {
    async fn send(&self, sms: &Sms) -> Result<HandedOver, SmsError> {
        let request = self.client.post(self.messages.clone());
        let request =
            request.basic_auth(&self.account_sid, Some(self.auth_token.expose_secret())).form(&self.form(sms));
        let response = traces::send(request, Peer::Twilio).await.map_err(no_answer)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = read_up_to(ANSWER_MAX, response).await;
        if status.is_success() {
            let sid = message_sid(status, body)?;
            return Ok(HandedOver { provider: Self::NAME, provider_message_id: Some(sid) });
        }
        // Without a readable error code the status alone decides.
        let refusal = body.ok().and_then(|body| serde_json::from_slice::<Refusal>(&body).ok());
        Err(refusal.map_or_else(|| unexplained(status, &headers), |Refusal { code }| explained(status, code, &headers)))
    }
}

/// The id of the message. A success without one is uncertain: it may come from a proxy instead of Twilio.
fn message_sid(status: StatusCode, body: Result<Vec<u8>, BodyError>) -> Result<String, SmsError> {
    let unreadable = || SmsError::Uncertain(Fault::Unreadable { status: status.as_u16() });
    let body = body.map_err(|error| match error {
        BodyError::TooLarge => unreadable(),
        BodyError::Interrupted(cause) => SmsError::Uncertain(Fault::Interrupted(cause)),
    })?;
    serde_json::from_slice(&body).map(|Message { sid }| sid).map_err(|_| unreadable())
}

/// Classifies a refusal with an error code.
fn explained(status: StatusCode, code: u32, headers: &HeaderMap) -> SmsError {
    let fault = Fault::Code { status: status.as_u16(), code };
    match blame(code) {
        Some(Blame::Number) => SmsError::Rejected(fault),
        Some(Blame::Rate) => SmsError::Throttled { retry_after: retry_after(headers), fault },
        Some(Blame::Account) => {
            SmsError::Unavailable(Fault::Misconfigured { status: status.as_u16(), code: Some(code) })
        }
        Some(Blame::Route) => SmsError::Unavailable(fault),
        None => match refused(status, headers) {
            SmsError::Rejected(_) | SmsError::Uncertain(_) if status.is_client_error() => SmsError::Unavailable(fault),
            other => other,
        },
    }
}

/// Classifies a refusal without an error code. It never rejects the number, because Twilio gives a code for that.
fn unexplained(status: StatusCode, headers: &HeaderMap) -> SmsError {
    match refused(status, headers) {
        SmsError::Rejected(fault) => SmsError::Unavailable(fault),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(status: u16, code: u32) -> &'static str {
        explained(StatusCode::from_u16(status).unwrap(), code, &HeaderMap::new()).outcome()
    }

    #[test]
    fn a_number_that_no_provider_can_reach_is_rejected() {
        // Not a number, not mobile, a short code, premium, unsubscribed, a fixed line, no phone, blocked for pumping.
        for code in [21211, 21614, 21265, 21268, 21610, 21635, 30005, 30006, 30450] {
            assert_eq!(outcome(400, code), "rejected", "{code}");
        }
    }

    #[test]
    fn a_missing_route_allows_failover_to_another_provider() {
        for code in [21408, 21612, 30007] {
            let error = explained(StatusCode::BAD_REQUEST, code, &HeaderMap::new());
            assert!(
                matches!(error, SmsError::Unavailable(Fault::Code { code: c, .. }) if c == code),
                "{code}: {error:?}"
            );
        }
    }

    #[test]
    fn an_unknown_error_code_does_not_reject_the_number() {
        for status in [400, 409, 422] {
            let error = explained(StatusCode::from_u16(status).unwrap(), 29_999, &HeaderMap::new());
            let fault = |f: &Fault| matches!(f, Fault::Code { status: s, code: 29_999 } if *s == status);
            assert!(matches!(error, SmsError::Unavailable(ref f) if fault(f)), "{status}: {error:?}");
        }
    }

    #[test]
    fn rate_limits_and_full_queues_are_throttled() {
        for (status, code) in
            [(429, 20429), (429, 14107), (400, 21611), (400, 30001), (400, 30022), (429, 63038), (429, 99999)]
        {
            assert_eq!(outcome(status, code), "throttled", "{status} {code}");
        }
    }

    #[test]
    fn a_misconfiguration_allows_failover_to_another_provider() {
        let known = [20003, 20404, 21210, 21212, 21267, 21601, 21602, 21606, 21659, 21703, 10001, 30034];
        let statuses = known.map(|code| (400, code));
        for (status, code) in statuses.into_iter().chain([(401, 20003), (404, 20404), (403, 12345)]) {
            let error = explained(StatusCode::from_u16(status).unwrap(), code, &HeaderMap::new());
            assert!(matches!(error, SmsError::Unavailable(Fault::Misconfigured { .. })), "{status} {code}: {error:?}");
        }
    }

    #[test]
    fn an_internal_error_of_twilio_is_uncertain() {
        assert_eq!(outcome(500, 20500), "uncertain");
    }
}
