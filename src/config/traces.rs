//! The settings of traces, under the names that OpenTelemetry specifies.

use std::collections::BTreeSet;

use percent_encoding::percent_decode_str;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use super::Mode;
use super::parse::{boolean, from_words, milliseconds, visible};
use super::source::Source;
use crate::outbound::HttpUrl;
use crate::traces::{Peer, Sampler, TraceSettings};

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";

/// The port of OTLP over gRPC, which the service does not speak.
const GRPC_PORT: u16 = 4317;

/// `None` if traces are off: no endpoint is set, or they are disabled.
pub(super) fn settings(s: &mut Source<'_>, mode: Mode) -> Option<TraceSettings> {
    let disabled = s.value("OTEL_SDK_DISABLED", "false", boolean);
    let exports = s.value("OTEL_TRACES_EXPORTER", "otlp", |text| match text {
        "otlp" => Ok(true),
        "none" => Ok(false),
        _ => Err("must be otlp or none"),
    });
    s.value("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", |text| match text {
        "http/protobuf" => Ok(()),
        _ => Err("must be http/protobuf: the service does not speak gRPC or JSON"),
    });
    let endpoint = endpoint(s);
    let headers = s.secret(HEADERS).and_then(|text| headers(s, &text));
    let timeout = s.value("OTEL_EXPORTER_OTLP_TIMEOUT", "10000", milliseconds(1..=60_000));
    let resource = resource(s);
    let sampler = sampler(s);
    let continues_callers = s.value("OTEL_PROPAGATORS", "tracecontext", propagators);
    let parent_to = s.optional("TRACEPARENT_TO", peers).unwrap_or_default();
    let (name, endpoint) = endpoint?;
    if disabled || !exports {
        return None;
    }
    check_transport(s, mode, name, &endpoint, headers.is_some());
    let headers = headers.unwrap_or_default();
    Some(TraceSettings { endpoint, headers, timeout, resource, sampler, continues_callers, parent_to })
}

/// The endpoint of traces as it is, or else below the common one (OTLP exporter specification, "Endpoint URLs for
/// OTLP/HTTP").
fn endpoint(s: &mut Source<'_>) -> Option<(&'static str, Url)> {
    let common = s.optional(ENDPOINT, |text| HttpUrl::parse(text).map(|url| url.below(&["v1", "traces"])));
    let own = s.optional(TRACES_ENDPOINT, |text| HttpUrl::parse(text).map(|url| url.as_url().clone()));
    own.map(|url| (TRACES_ENDPOINT, url)).or(common.map(|url| (ENDPOINT, url)))
}

fn check_transport(s: &mut Source<'_>, mode: Mode, name: &str, endpoint: &Url, has_headers: bool) {
    if endpoint.port() == Some(GRPC_PORT) {
        s.warning(name, "has the port of gRPC; OTLP over HTTP, which the service speaks, usually has port 4318");
    }
    let is_local = endpoint.host_str().is_some_and(|host| ["localhost", "127.0.0.1", "[::1]"].contains(&host));
    if mode == Mode::Production && has_headers && endpoint.scheme() != "https" && !is_local {
        s.problem(name, format!("must begin with https:// in production with {HEADERS}, which may hold a credential"));
    }
}

/// `name=value` pairs, separated by commas; values are percent-encoded.
fn pairs(text: &str) -> Result<Vec<(String, String)>, &'static str> {
    const FORM: &str = "must be a list like name=value,name=value, with percent-encoded values";
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
        let name = name.trim();
        (!name.is_empty()).then(|| (name.to_owned(), value.into_owned()))
    };
    let parts = text.split(',').filter(|part| !part.trim().is_empty());
    parts.map(pair).collect::<Option<_>>().ok_or(FORM)
}

fn headers(s: &mut Source<'_>, text: &SecretString) -> Option<HeaderMap> {
    let parsed = pairs(text.expose_secret()).and_then(|pairs| {
        let header = |(name, value): (String, String)| {
            let mut value = HeaderValue::try_from(value).map_err(|_| "has a value that a header cannot have")?;
            value.set_sensitive(true);
            Ok((HeaderName::try_from(name).map_err(|_| "has a name that a header cannot have")?, value))
        };
        pairs.into_iter().map(header).collect()
    });
    parsed.map_err(|message| s.problem(HEADERS, message)).ok()
}

/// `OTEL_SERVICE_NAME` takes precedence over `service.name` among the attributes.
fn resource(s: &mut Source<'_>) -> Vec<(String, String)> {
    let name = s.optional("OTEL_SERVICE_NAME", visible);
    let mut attributes = s.optional("OTEL_RESOURCE_ATTRIBUTES", pairs).unwrap_or_default();
    let is_named = attributes.iter().any(|(key, _)| key == "service.name");
    if let Some(name) = name.or_else(|| (!is_named).then(|| env!("CARGO_PKG_NAME").to_owned())) {
        attributes.push(("service.name".to_owned(), name));
    }
    attributes
}

fn sampler(s: &mut Source<'_>) -> Sampler {
    let ratio = s.optional("OTEL_TRACES_SAMPLER_ARG", |text| {
        let ratio = text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
        ratio.ok_or("must be a number from 0 to 1")
    });
    let ratio = Sampler::TraceIdRatioBased(ratio.unwrap_or(1.0));
    let parse = |text: &str| {
        let (parent_based, root) = text.strip_prefix("parentbased_").map_or((false, text), |root| (true, root));
        let root = match root {
            "always_on" => Sampler::AlwaysOn,
            "always_off" => Sampler::AlwaysOff,
            "traceidratio" => ratio.clone(),
            _ => return None,
        };
        Some(if parent_based { Sampler::ParentBased(Box::new(root)) } else { root })
    };
    let words = "always_on, always_off or traceidratio, or one of these after parentbased_";
    s.value("OTEL_TRACES_SAMPLER", "parentbased_always_on", from_words(parse, words))
}

/// Whether `traceparent` is read. Baggage never is.
fn propagators(text: &str) -> Result<bool, &'static str> {
    let words: Vec<&str> = text.split(',').map(str::trim).collect();
    match &*words {
        ["none"] => Ok(false),
        words if words.iter().all(|word| ["tracecontext", "baggage"].contains(word)) => {
            Ok(words.contains(&"tracecontext"))
        }
        _ => Err("must be tracecontext or none; baggage may be listed too, and is ignored"),
    }
}

fn peers(text: &str) -> Result<BTreeSet<Peer>, &'static str> {
    let peer = |word: &str| match word.trim() {
        "webhook" => Some(Peer::Gateway),
        "seon" => Some(Peer::Seon),
        _ => None,
    };
    text.split(',').map(peer).collect::<Option<_>>().ok_or("must list webhook or seon, separated by commas")
}
