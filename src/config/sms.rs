//! The settings of the SMS providers and of the texts.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::Mode;
use super::parse::{boolean, milliseconds, seconds, server, visible, whole};
use super::source::Source;
use crate::outbound::HttpUrl;
use crate::sms::ProviderSettings;
use crate::sms::circuit::CircuitSettings;
use crate::sms::gateway::{GatewayAuth, GatewaySettings};
use crate::sms::ios_domain::IosDomain;
use crate::sms::providers::AfterUncertain;
use crate::sms::sender_name::SenderName;
use crate::sms::text::SmsTemplate;
use crate::sms::twilio::{TwilioSender, TwilioSettings};

const DEFAULT_SENDER: &str = "Device Management";

/// How SMS are sent.
#[derive(Clone, Debug)]
pub struct SmsSettings {
    /// The providers, in the order in which they are tried.
    pub providers: Vec<ProviderSettings>,
    /// The timeout of one provider.
    pub attempt_deadline: Duration,
    /// Whether to fail over when a provider may have accepted the message.
    pub after_uncertain: AfterUncertain,
    /// The circuit breaker.
    pub circuit: CircuitSettings,
    /// The text of an SMS.
    pub template: SmsTemplate,
}

impl SmsSettings {
    /// The longest time that a message may take: all providers, one after the other.
    pub(super) fn wait_max(&self) -> Duration {
        self.providers.iter().map(|_| self.attempt_deadline).sum()
    }
}

pub(super) fn settings(s: &mut Source<'_>, mode: Mode) -> SmsSettings {
    let names = s.value("SMS_PROVIDERS", "console", provider_names);
    if mode == Mode::Production && names.contains(&Name::Console) {
        s.problem("SMS_PROVIDERS", "must not contain console in production: codes would be logged");
    }
    let gateway = gateway(s, mode, names.contains(&Name::Gateway));
    let twilio = twilio(s, mode, names.contains(&Name::Twilio));
    let providers = names
        .iter()
        .filter_map(|name| match name {
            Name::Console => Some(ProviderSettings::Console),
            Name::Gateway => gateway.clone().map(ProviderSettings::Gateway),
            Name::Twilio => twilio.clone().map(ProviderSettings::Twilio),
        })
        .collect();
    let retry = s.value("SMS_RETRY_UNCERTAIN", "false", boolean);
    SmsSettings {
        providers,
        // Above the connect timeout of two seconds: see `outbound`.
        attempt_deadline: s.value("SMS_TIMEOUT_MS", "5000", milliseconds(2500..=60_000)),
        after_uncertain: if retry { AfterUncertain::TryNext } else { AfterUncertain::Stop },
        circuit: CircuitSettings {
            failures: s.value("SMS_BREAKER_FAILURES", "5", whole(0..=1000)),
            cool_off: s.value("SMS_BREAKER_SECONDS", "10", seconds(1..=3600)),
        },
        template: template(s),
    }
}

fn template(s: &mut Source<'_>) -> SmsTemplate {
    let sender = s.value("SMS_SENDER_NAME", DEFAULT_SENDER, SenderName::parse);
    let domain = s.optional("SMS_IOS_DOMAIN", IosDomain::parse);
    SmsTemplate::new(sender, domain).unwrap_or_else(|error| {
        s.problem("SMS_IOS_DOMAIN", format!("does not fit: {error}"));
        let sender = SenderName::parse(DEFAULT_SENDER).expect("the default sender name is valid");
        SmsTemplate::new(sender, None).expect("without a domain every sender name fits")
    })
}

fn gateway(s: &mut Source<'_>, mode: Mode, wanted: bool) -> Option<GatewaySettings> {
    // The path or query may contain a token, so the URL is read and shown like a secret.
    let url = s.secret("SMS_WEBHOOK_URL");
    let url = url.map(|url| server(mode)(url.expose_secret()));
    let url = url.and_then(|url| url.map_err(|message| s.problem("SMS_WEBHOOK_URL", message)).ok());
    let token = s.secret("SMS_WEBHOOK_TOKEN");
    let hmac = s.secret("SMS_WEBHOOK_HMAC_SECRET");
    if !wanted {
        return None;
    }
    let auth = match (token, hmac) {
        (Some(token), None) => header_safe(s, "SMS_WEBHOOK_TOKEN", token).map(GatewayAuth::Bearer),
        (None, Some(secret)) => Some(GatewayAuth::Hmac(secret)),
        (Some(_), Some(_)) => {
            s.problem("SMS_WEBHOOK_TOKEN", "and SMS_WEBHOOK_HMAC_SECRET are mutually exclusive: set one");
            None
        }
        (None, None) => {
            s.problem("SMS_WEBHOOK_TOKEN", "or SMS_WEBHOOK_HMAC_SECRET is required by SMS_PROVIDERS=webhook");
            None
        }
    };
    let url = required(s, "SMS_WEBHOOK_URL", "SMS_PROVIDERS=webhook", url);
    Some(GatewaySettings { url: url?, auth: auth? })
}

fn twilio(s: &mut Source<'_>, mode: Mode, wanted: bool) -> Option<TwilioSettings> {
    let account_sid = s.optional("TWILIO_ACCOUNT_SID", visible);
    let auth_token = s.secret("TWILIO_AUTH_TOKEN");
    let from = s.optional("TWILIO_FROM", visible);
    let service = s.optional("TWILIO_MESSAGING_SERVICE_SID", visible);
    let base_url: HttpUrl = s.value("TWILIO_BASE_URL", "https://api.twilio.com", server(mode));
    if !wanted {
        return None;
    }
    let sender = match (from, service) {
        (Some(from), None) => Some(TwilioSender::From(from)),
        (None, Some(service)) => Some(TwilioSender::MessagingService(service)),
        (Some(_), Some(_)) => {
            s.problem("TWILIO_FROM", "and TWILIO_MESSAGING_SERVICE_SID are mutually exclusive: set one");
            None
        }
        (None, None) => {
            s.problem("TWILIO_FROM", "or TWILIO_MESSAGING_SERVICE_SID is required by SMS_PROVIDERS=twilio");
            None
        }
    };
    let account_sid = required(s, "TWILIO_ACCOUNT_SID", "SMS_PROVIDERS=twilio", account_sid);
    let auth_token = required(s, "TWILIO_AUTH_TOKEN", "SMS_PROVIDERS=twilio", auth_token);
    Some(TwilioSettings { base_url, account_sid: account_sid?, auth_token: auth_token?, sender: sender? })
}

fn required<T>(s: &mut Source<'_>, name: &str, by: &str, value: Option<T>) -> Option<T> {
    // An invalid value is reported already; it is not missing.
    if value.is_none() && !s.has_problem(name) {
        s.problem(name, format!("is required by {by}"));
    }
    value
}

/// A secret that is sent in a header.
pub(super) fn header_safe(s: &mut Source<'_>, name: &str, secret: SecretString) -> Option<SecretString> {
    let fits = secret.expose_secret().bytes().all(|b| b.is_ascii_graphic());
    if !fits {
        s.problem(name, "may contain only visible ASCII characters");
    }
    fits.then_some(secret)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    Console,
    Gateway,
    Twilio,
}

fn provider_names(text: &str) -> Result<Vec<Name>, &'static str> {
    let name = |word: &str| match word.trim() {
        "console" => Some(Name::Console),
        "webhook" => Some(Name::Gateway),
        "twilio" => Some(Name::Twilio),
        _ => None,
    };
    let names: Option<Vec<Name>> = text.split(',').map(name).collect();
    let names = names.ok_or("must list console, webhook or twilio, separated by commas")?;
    // A repeated provider would be tried again immediately after it failed.
    let repeats = names.iter().enumerate().any(|(index, name)| names[..index].contains(name));
    if repeats { Err("must not list a provider twice") } else { Ok(names) }
}
