//! The settings of traces, under the names that OpenTelemetry specifies.

use std::borrow::Cow;
use std::collections::BTreeSet;

use percent_encoding::percent_decode_str;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use super::Mode;
use super::parse::{boolean, from_words, milliseconds, visible};
use super::source::Source;
use crate::outbound::HttpUrl;
use crate::store::is_local;
use crate::traces::{Peer, Sampler, TraceSettings};

const DISABLED: &str = "OTEL_SDK_DISABLED";
const EXPORTER: &str = "OTEL_TRACES_EXPORTER";
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
const TRACES_HEADERS: &str = "OTEL_EXPORTER_OTLP_TRACES_HEADERS";
const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
const TRACES_PROTOCOL: &str = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL";
const TIMEOUT: &str = "OTEL_EXPORTER_OTLP_TIMEOUT";
const TRACES_TIMEOUT: &str = "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT";
const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";
const ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARG: &str = "OTEL_TRACES_SAMPLER_ARG";
const PROPAGATORS: &str = "OTEL_PROPAGATORS";

/// An invalid value is ignored with a warning, as OpenTelemetry specifies ("Environment variable specification").
const TOLERANT: [&str; 8] =
    [DISABLED, TIMEOUT, TRACES_TIMEOUT, SERVICE_NAME, ATTRIBUTES, SAMPLER, SAMPLER_ARG, PROPAGATORS];

/// With an invalid value, spans would not reach the collector or would be sent elsewhere: it is ignored only if traces
/// are off.
const STRICT: [&str; 7] = [EXPORTER, ENDPOINT, TRACES_ENDPOINT, HEADERS, TRACES_HEADERS, PROTOCOL, TRACES_PROTOCOL];

/// The port of OTLP over gRPC, which the service does not speak.
const GRPC_PORT: u16 = 4317;

/// `None` if traces are off: no endpoint is set, or they are disabled.
pub(super) fn settings(s: &mut Source<'_>, mode: Mode) -> Option<TraceSettings> {
    let disabled = s.value(DISABLED, "false", |text| boolean(&text.to_ascii_lowercase()));
    let exports = s.value(EXPORTER, "otlp", exporter);
    s.value(PROTOCOL, "http/protobuf", protocol);
    if s.optional(TRACES_PROTOCOL, protocol).is_some() {
        s.ignore_if_invalid(PROTOCOL);
    }
    let endpoint = endpoint(s);
    let headers = all_headers(s);
    let timeout = s.value(TIMEOUT, "10000", milliseconds(1..=60_000));
    let timeout = s.optional(TRACES_TIMEOUT, milliseconds(1..=60_000)).unwrap_or(timeout);
    let resource = resource(s);
    let sampler = sampler(s);
    let (continues_callers, has_others) = s.value(PROPAGATORS, "tracecontext", propagators);
    if has_others {
        s.warning(PROPAGATORS, "lists a propagator that the service does not have; it is ignored");
    }
    let parent_to = s.optional("TRACEPARENT_TO", peers).unwrap_or_default();
    let is_off = disabled || !exports || !(s.is_set(ENDPOINT) || s.is_set(TRACES_ENDPOINT));
    for name in TOLERANT.iter().chain(STRICT.iter().filter(|_| is_off)) {
        s.ignore_if_invalid(name);
    }
    let (name, endpoint) = endpoint.filter(|_| !is_off)?;
    check_transport(s, mode, name, &endpoint, headers.is_some());
    let headers = headers.unwrap_or_default();
    Some(TraceSettings { endpoint, headers, timeout, resource, sampler, continues_callers, parent_to })
}

/// Whether spans are exported. Other exporters may be listed in addition.
fn exporter(text: &str) -> Result<bool, &'static str> {
    let text = text.to_ascii_lowercase();
    let mut words = text.split(',').map(str::trim);
    match &*text {
        "none" => Ok(false),
        _ if words.any(|word| word == "otlp") => Ok(true),
        _ => Err("must be otlp or none: the service has no other exporter"),
    }
}

fn protocol(text: &str) -> Result<(), &'static str> {
    let is_known = text.eq_ignore_ascii_case("http/protobuf");
    is_known.then_some(()).ok_or("must be http/protobuf: the service does not speak gRPC or JSON")
}

/// The endpoint of traces as it is, or else below the common one (OTLP exporter specification, "Endpoint URLs for
/// OTLP/HTTP"). Only the host is shown: a path may contain a credential.
fn endpoint(s: &mut Source<'_>) -> Option<(&'static str, Url)> {
    let mut read = |name| {
        let url = s.optional(name, collector);
        if s.is_set(name) {
            let host = url.as_ref().map(|url| url.as_url().origin().ascii_serialization());
            s.show(name, host.unwrap_or_else(|| "<invalid>".to_owned()));
        }
        url
    };
    let common = read(ENDPOINT).map(|url| (ENDPOINT, url.below(&["v1", "traces"])));
    let own = read(TRACES_ENDPOINT).map(|url| (TRACES_ENDPOINT, url.as_url().clone()));
    own.or(common)
}

fn collector(text: &str) -> Result<HttpUrl, String> {
    let url = HttpUrl::parse(text).map_err(|error| error.to_string())?;
    if url.as_url().query().is_some() || url.as_url().fragment().is_some() {
        return Err(format!("must have no query and no fragment; credentials belong in {HEADERS}"));
    }
    Ok(url)
}

fn check_transport(s: &mut Source<'_>, mode: Mode, name: &str, endpoint: &Url, has_headers: bool) {
    if endpoint.port() == Some(GRPC_PORT) {
        s.warning(name, "has the port of gRPC; OTLP over HTTP, which the service speaks, usually has port 4318");
    }
    let is_local = endpoint.host_str().is_some_and(is_local);
    if mode == Mode::Production && has_headers && endpoint.scheme() != "https" && !is_local {
        s.problem(name, format!("must begin with https:// in production with {HEADERS}, which may hold a credential"));
    }
}

/// `name=value` pairs, separated by commas; both are percent-encoded.
fn pairs(text: &str) -> Result<Vec<(String, String)>, &'static str> {
    const FORM: &str = "must be a list like name=value,name=value, percent-encoded";
    let decoded = |text: &str| percent_decode_str(text.trim()).decode_utf8().ok().map(Cow::into_owned);
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        Some((decoded(name).filter(|name| !name.is_empty())?, decoded(value)?))
    };
    let parts = text.split(',').filter(|part| !part.trim().is_empty());
    parts.map(pair).collect::<Option<_>>().ok_or(FORM)
}

/// The headers of traces, or else the common ones.
fn all_headers(s: &mut Source<'_>) -> Option<HeaderMap> {
    let common = s.secret(HEADERS).and_then(|text| headers(s, HEADERS, &text));
    let own = s.secret(TRACES_HEADERS);
    if own.is_some() {
        s.ignore_if_invalid(HEADERS);
    }
    own.and_then(|text| headers(s, TRACES_HEADERS, &text)).or(common)
}

fn headers(s: &mut Source<'_>, name: &str, text: &SecretString) -> Option<HeaderMap> {
    let parsed = pairs(text.expose_secret()).and_then(|pairs| {
        let header = |(name, value): (String, String)| {
            let mut value = HeaderValue::try_from(value).map_err(|_| "has a value that a header cannot have")?;
            value.set_sensitive(true);
            Ok((HeaderName::try_from(name).map_err(|_| "has a name that a header cannot have")?, value))
        };
        pairs.into_iter().map(header).collect()
    });
    parsed.map_err(|message| s.problem(name, message)).ok()
}

/// `OTEL_SERVICE_NAME` takes precedence over `service.name` among the attributes.
fn resource(s: &mut Source<'_>) -> Vec<(String, String)> {
    let name = s.optional(SERVICE_NAME, visible);
    let mut attributes = s.optional(ATTRIBUTES, pairs).unwrap_or_default();
    let is_named = attributes.iter().any(|(key, _)| key == "service.name");
    if let Some(name) = name.or_else(|| (!is_named).then(|| env!("CARGO_PKG_NAME").to_owned())) {
        attributes.push(("service.name".to_owned(), name));
    }
    attributes
}

fn sampler(s: &mut Source<'_>) -> Sampler {
    let ratio = s.optional(SAMPLER_ARG, |text| {
        let ratio = text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
        ratio.ok_or("must be a number from 0 to 1")
    });
    let ratio = Sampler::TraceIdRatioBased(ratio.unwrap_or(1.0));
    let parse = |text: &str| {
        let text = &*text.to_ascii_lowercase();
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
    s.value(SAMPLER, "parentbased_always_on", from_words(parse, words))
}

/// Whether `traceparent` is read, and whether other propagators than the known ones are listed. Baggage is never read.
fn propagators(text: &str) -> Result<(bool, bool), &'static str> {
    let text = text.to_ascii_lowercase();
    let words: Vec<&str> = text.split(',').map(str::trim).collect();
    let known = words.iter().filter(|word| ["none", "tracecontext", "baggage"].contains(word)).count();
    if known == 0 {
        return Err("must be tracecontext or none; baggage may be listed too, and is not read");
    }
    Ok((words.contains(&"tracecontext"), known < words.len()))
}

fn peers(text: &str) -> Result<BTreeSet<Peer>, &'static str> {
    let peer = |word: &str| match word.trim() {
        "webhook" => Some(Peer::Gateway),
        "seon" => Some(Peer::Seon),
        _ => None,
    };
    text.split(',').map(peer).collect::<Option<_>>().ok_or("must list webhook or seon, separated by commas")
}
