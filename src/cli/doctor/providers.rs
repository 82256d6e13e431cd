//! Checks of the servers that the service calls. SMS providers and SEON get a TLS handshake and no request; the keys of the
//! identity provider are fetched. All checks run in parallel, each with its own timeout.

use std::error::Error;
use std::time::Duration;

use crate::auth::{ExternalIssuer, KeysError};
use crate::config::{Config, Problem};
use crate::finding::{Finding, Status};
use crate::outbound::probe::{Unreached, probe};
use crate::outbound::{self, HttpUrl};
use crate::sms::ProviderSettings;

/// The timeout of a probe.
const LIMIT: Duration = Duration::from_secs(3);

pub(super) async fn check(config: &Config, problems: &[Problem]) -> Vec<Finding> {
    let url = |of: fn(&ProviderSettings) -> Option<&HttpUrl>| config.sms.providers.iter().find_map(of);
    let webhook = url(|provider| match provider {
        ProviderSettings::Gateway(gateway) => Some(&gateway.url),
        _ => None,
    });
    let twilio = url(|provider| match provider {
        ProviderSettings::Twilio(twilio) => Some(&twilio.base_url),
        _ => None,
    });
    let seon = config.fraud.seon.as_ref().map(|seon| &seon.base_url);
    let reached = |id, prefix, url| reach(id, url, skip_reason(problems, prefix));
    let collector = config.traces.as_ref().and_then(|traces| HttpUrl::parse(traces.endpoint.as_str()).ok());
    let findings = tokio::join!(
        reached("provider.webhook", "SMS_WEBHOOK_", webhook),
        reached("provider.twilio", "TWILIO_", twilio),
        reached("provider.seon", "SEON_", seon),
        identity_provider(config, skip_reason(problems, "EXTERNAL_")),
        reached("traces.collector", "OTEL_", collector.as_ref()),
    );
    let (webhook, twilio, seon, identity, mut collector) = findings;
    // Requests do not depend on it.
    if collector.status == Status::Failure {
        collector.status = Status::Warning;
    }
    vec![webhook, twilio, seon, identity, collector]
}

/// Why a provider is not reached even though its address may be known.
fn skip_reason(problems: &[Problem], prefix: &str) -> Option<&'static str> {
    let is_invalid = problems.iter().any(|problem| problem.setting.starts_with(prefix));
    is_invalid.then_some("its settings are invalid")
}

async fn reach(id: &'static str, url: Option<&HttpUrl>, skip: Option<&'static str>) -> Finding {
    let (None, Some(url)) = (skip, url) else {
        return Finding::skipped(id, skip.unwrap_or("it is not configured"));
    };
    // `HttpUrl` shows scheme, host and port only.
    match probe(url, LIMIT).await {
        Ok(()) if url.is_encrypted() => Finding::ok(id, format!("{url} accepts TLS connections; no request was sent")),
        Ok(()) => Finding::ok(id, format!("{url} accepts connections; no request was sent")),
        Err(error) => {
            let remedy = match &error {
                Unreached::Dns(..) => "correct the host in the setting, or DNS",
                Unreached::Tls(_) => "the certificate must be valid, for this host, and of a trusted authority",
                Unreached::Tcp(_) | Unreached::Timeout(..) => {
                    "correct the host in the setting, or open the firewall or network policy"
                }
            };
            Finding::failure(id, format!("{url}: {error}"), remedy)
        }
    }
}

async fn identity_provider(config: &Config, skip: Option<&'static str>) -> Finding {
    const ID: &str = "provider.identity";
    let (None, Some(settings)) = (skip, &config.external_issuer) else {
        return Finding::skipped(ID, skip.unwrap_or("it is not configured"));
    };
    let http = match outbound::client() {
        Ok(http) => http,
        Err(error) => return Finding::failure(ID, error.without_url().to_string(), "install CA certificates"),
    };
    match ExternalIssuer::new(settings.clone(), http).fetch_keys().await {
        Ok((0, 0)) => Finding::warning(ID, "its key set is empty, so its tokens are refused", "publish its keys"),
        Ok((usable, 0)) => Finding::ok(ID, format!("its key set has {usable} usable keys")),
        Ok((usable, skipped)) => {
            Finding::ok(ID, format!("its key set has {usable} usable keys, and {skipped} that are skipped"))
        }
        Err(error) => {
            Finding::failure(ID, with_causes(&error), "correct EXTERNAL_ISSUER or EXTERNAL_JWKS_URL, or the provider")
        }
    }
}

/// The error with its causes, none of which contains the URL.
fn with_causes(error: &KeysError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
