//! Traces: the endpoint, its headers, the resource and the sampler.

use std::time::Duration;

use super::production::{assert_refused, production_but};
use super::{load, problems, shown};

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
const TRACES_HEADERS: &str = "OTEL_EXPORTER_OTLP_TRACES_HEADERS";
const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
const TRACES_PROTOCOL: &str = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL";
const EXPORTER: &str = "OTEL_TRACES_EXPORTER";

#[test]
fn the_common_endpoint_gets_a_path_and_that_of_traces_is_used_as_it_is() {
    for (common, own, url) in [
        ("http://c:4318", "", "http://c:4318/v1/traces"),
        ("http://c:4318/", "", "http://c:4318/v1/traces"),
        ("https://c/base", "", "https://c/base/v1/traces"),
        ("https://c/base/", "", "https://c/base/v1/traces"),
        ("http://c:4318", "https://other", "https://other/"),
        ("", "https://other/collect", "https://other/collect"),
    ] {
        let config = load(&[(ENDPOINT, common), (TRACES_ENDPOINT, own)]).unwrap();
        assert_eq!(config.traces.unwrap().endpoint.as_str(), url, "{common} {own}");
    }
}

#[test]
fn traces_are_off_without_an_endpoint() {
    assert!(load(&[]).unwrap().traces.is_none());
    assert!(load(&[(HEADERS, "a=b"), ("OTEL_SERVICE_NAME", "a")]).unwrap().traces.is_none());
}

#[test]
fn the_service_name_takes_precedence_over_the_attribute() {
    for (name, attributes, expected) in [
        ("", "", "device-management"),
        ("", "service.name=a,service.namespace=b", "a"),
        ("c", "service.name=a", "c"),
        ("", "service.name=%C3%A9t%C3%A9 1", "été 1"),
    ] {
        let settings = [(ENDPOINT, "http://c"), ("OTEL_SERVICE_NAME", name), ("OTEL_RESOURCE_ATTRIBUTES", attributes)];
        let resource = load(&settings).unwrap().traces.unwrap().resource;
        // The last value of a key counts.
        let found = resource.iter().rfind(|(key, _)| key == "service.name");
        assert_eq!(found.map(|(_, value)| &**value), Some(expected), "{name:?} {attributes:?}");
    }
}

#[test]
fn values_with_which_spans_would_not_arrive_are_refused_without_quoting_secrets() {
    const LIST: &str = "must be a list like name=value";
    for (name, value, expected) in [
        (ENDPOINT, "collector:4318", "must be an http or https URL"),
        (TRACES_ENDPOINT, "grpc://c", "must be an http or https URL"),
        (ENDPOINT, "http://user:hunter2@c", "must be an http or https URL"),
        (ENDPOINT, "http://c/?key=hunter2", "must have no query"),
        (TRACES_ENDPOINT, "http://c/#hunter2", "must have no query"),
        (HEADERS, "hunter2", LIST),
        (HEADERS, "a=hunter2,=b", LIST),
        (TRACES_HEADERS, "hunter2", LIST),
        (HEADERS, "a=hunter2%0A", "has a value that a header cannot have"),
        (HEADERS, "a b=hunter2", "has a name that a header cannot have"),
        (PROTOCOL, "grpc", "must be http/protobuf"),
        (TRACES_PROTOCOL, "http/json", "must be http/protobuf"),
        (EXPORTER, "console", "must be otlp or none"),
    ] {
        let found = problems(&[(ENDPOINT, "http://c"), (name, value)], "");
        assert!(found.len() == 1 && found[0].starts_with(&format!("{name} {expected}")), "{name}={value}: {found:?}");
        assert!(!found[0].contains("hunter2"), "{found:?}");
    }
    let found = problems(&[("TRACEPARENT_TO", "twilio")], "");
    assert!(found[0].starts_with("TRACEPARENT_TO must list webhook or seon"), "{found:?}");
}

/// As OpenTelemetry specifies.
#[test]
fn other_invalid_values_are_ignored_with_a_warning() {
    let usual = format!("{:?}", load(&[(ENDPOINT, "http://c")]).unwrap().traces.unwrap());
    for (name, value, expected) in [
        ("OTEL_SDK_DISABLED", "1", "must be true or false"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "0", "must be a whole number from 1"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "10s", "must be a whole number from 1"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a", "must be a list like name=value"),
        ("OTEL_TRACES_SAMPLER", "parentbased_jaeger_remote", "must be always_on"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.5", "must be a number from 0 to 1"),
        ("OTEL_TRACES_SAMPLER_ARG", "nan", "must be a number from 0 to 1"),
        ("OTEL_PROPAGATORS", "b3", "must be tracecontext or none"),
        ("OTEL_PROPAGATORS", "tracecontext,baggage,b3", "lists a propagator"),
    ] {
        let config = load(&[(ENDPOINT, "http://c"), (name, value)]).unwrap();
        let found: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
        assert!(found.len() == 1 && found[0].starts_with(&format!("{name} {expected}")), "{name}={value}: {found:?}");
        assert_eq!(format!("{:?}", config.traces.unwrap()), usual, "{name}={value}");
    }
}

/// Variables that all services of a bank share.
#[test]
fn settings_for_other_services_do_not_prevent_the_start_while_traces_are_off() {
    let shared = [
        ("OTEL_PROPAGATORS", "tracecontext,baggage,b3"),
        (EXPORTER, "console"),
        (PROTOCOL, "grpc"),
        (TRACES_HEADERS, "invalid"),
    ];
    let off: [&[(&str, &str)]; 3] = [
        &[],
        &[("OTEL_SDK_DISABLED", "TRUE"), (ENDPOINT, "collector:4317")],
        &[(EXPORTER, "None"), (TRACES_ENDPOINT, "http://c?key=hunter2")],
    ];
    for settings in off {
        let config = load(&[&shared[..], settings].concat()).unwrap();
        assert!(config.traces.is_none() && config.warnings.len() >= 3, "{:?}", config.warnings);
        assert!(!format!("{config:?}").contains("hunter2"), "{config:?}");
    }
}

#[test]
fn words_are_read_in_any_case_and_the_exporter_from_a_list() {
    let settings = [
        (ENDPOINT, "http://c"),
        ("OTEL_SDK_DISABLED", "False"),
        (EXPORTER, "console, OTLP"),
        (PROTOCOL, "HTTP/Protobuf"),
        ("OTEL_TRACES_SAMPLER", "Always_Off"),
        ("OTEL_PROPAGATORS", "TraceContext"),
    ];
    let config = load(&settings).unwrap();
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    let traces = config.traces.unwrap();
    assert!(traces.continues_callers && format!("{:?}", traces.sampler) == "AlwaysOff", "{traces:?}");
}

#[test]
fn variables_of_traces_take_precedence() {
    let settings = [
        (ENDPOINT, "http://c"),
        (PROTOCOL, "grpc"),
        (TRACES_PROTOCOL, "http/protobuf"),
        (HEADERS, "invalid"),
        (TRACES_HEADERS, "key=of-traces"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1000"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "2000"),
    ];
    let traces = load(&settings).unwrap().traces.unwrap();
    assert_eq!((traces.timeout, traces.headers["key"].to_str().unwrap()), (Duration::from_secs(2), "of-traces"));
    let same = [(ENDPOINT, "http://c"), (HEADERS, "key=same-secret"), (TRACES_HEADERS, "key=same-secret")];
    load(&same).unwrap();
}

#[test]
fn only_the_host_of_an_endpoint_is_shown() {
    let settings = [(ENDPOINT, "http://c:4318/hunter2"), (TRACES_ENDPOINT, "https://d/hunter2/v1/traces")];
    let config = load(&settings).unwrap();
    assert_eq!(shown(&config, ENDPOINT).value.as_deref(), Some("http://c:4318"));
    assert_eq!(shown(&config, TRACES_ENDPOINT).value.as_deref(), Some("https://d"));
    assert!(!format!("{config:?}").contains("hunter2"), "{config:?}");
}

#[test]
fn production_sends_headers_to_a_collector_only_over_https_or_to_this_machine() {
    let http = (ENDPOINT, "http://collector.example:4318");
    assert_refused(&[http, (HEADERS, "key=secret")], &["OTEL_EXPORTER_OTLP_ENDPOINT must begin with https://"]);
    load(&production_but(&[http])).unwrap();
    for url in ["https://collector.example", "http://localhost:4318", "http://127.0.0.2:4318", "http://[::1]:4318"] {
        load(&production_but(&[(ENDPOINT, url), (HEADERS, "key=secret")])).unwrap();
    }
}

#[test]
fn the_port_of_grpc_is_a_warning() {
    let config = load(&[(ENDPOINT, "http://collector:4317")]).unwrap();
    assert!(matches!(&config.warnings[..], [warning] if warning.setting == ENDPOINT), "{:?}", config.warnings);
    assert!(load(&[(ENDPOINT, "http://collector:4318")]).unwrap().warnings.is_empty());
}
