//! Traces: the endpoint, its headers, the resource and the sampler.

use super::production::{assert_refused, production_but};
use super::{load, problems};

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";

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
        ("", "service.name=caf%C3%A9 1", "café 1"),
    ] {
        let settings = [(ENDPOINT, "http://c"), ("OTEL_SERVICE_NAME", name), ("OTEL_RESOURCE_ATTRIBUTES", attributes)];
        let resource = load(&settings).unwrap().traces.unwrap().resource;
        // The last value of a key counts.
        let found = resource.iter().rfind(|(key, _)| key == "service.name");
        assert_eq!(found.map(|(_, value)| &**value), Some(expected), "{name:?} {attributes:?}");
    }
}

#[test]
fn invalid_settings_are_refused_without_quoting_headers() {
    for (name, value, expected) in [
        (ENDPOINT, "collector:4318", "OTEL_EXPORTER_OTLP_ENDPOINT must be an http or https URL"),
        (TRACES_ENDPOINT, "grpc://c", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT must be an http or https URL"),
        (ENDPOINT, "http://user:hunter2@c", "OTEL_EXPORTER_OTLP_ENDPOINT must be an http or https URL"),
        (HEADERS, "hunter2", "OTEL_EXPORTER_OTLP_HEADERS must be a list like name=value"),
        (HEADERS, "a=hunter2,=b", "OTEL_EXPORTER_OTLP_HEADERS must be a list like name=value"),
        (HEADERS, "a=hunter2%0A", "OTEL_EXPORTER_OTLP_HEADERS has a value that a header cannot have"),
        (HEADERS, "a b=hunter2", "OTEL_EXPORTER_OTLP_HEADERS has a name that a header cannot have"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "0", "OTEL_EXPORTER_OTLP_TIMEOUT must be a whole number from 1"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a", "OTEL_RESOURCE_ATTRIBUTES must be a list like name=value"),
        ("OTEL_TRACES_SAMPLER", "parentbased_jaeger_remote", "OTEL_TRACES_SAMPLER must be always_on"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.5", "OTEL_TRACES_SAMPLER_ARG must be a number from 0 to 1"),
        ("OTEL_TRACES_SAMPLER_ARG", "nan", "OTEL_TRACES_SAMPLER_ARG must be a number from 0 to 1"),
        ("OTEL_PROPAGATORS", "b3", "OTEL_PROPAGATORS must be tracecontext or none"),
        ("OTEL_TRACES_EXPORTER", "zipkin", "OTEL_TRACES_EXPORTER must be otlp or none"),
        ("TRACEPARENT_TO", "twilio", "TRACEPARENT_TO must list webhook or seon"),
    ] {
        let found = problems(&[(name, value)], "");
        assert!(found.len() == 1 && found[0].starts_with(expected), "{name}={value}: {found:?}");
        assert!(!found[0].contains("hunter2"), "{found:?}");
    }
}

#[test]
fn production_sends_headers_to_a_collector_only_over_https_or_to_this_machine() {
    let http = (ENDPOINT, "http://collector.example:4318");
    assert_refused(&[http, (HEADERS, "key=secret")], &["OTEL_EXPORTER_OTLP_ENDPOINT must begin with https://"]);
    load(&production_but(&[http])).unwrap();
    for url in ["https://collector.example", "http://localhost:4318", "http://127.0.0.1:4318", "http://[::1]:4318"] {
        load(&production_but(&[(ENDPOINT, url), (HEADERS, "key=secret")])).unwrap();
    }
}

#[test]
fn the_port_of_grpc_is_a_warning() {
    let config = load(&[(ENDPOINT, "http://collector:4317")]).unwrap();
    assert!(matches!(&config.warnings[..], [warning] if warning.setting == ENDPOINT), "{:?}", config.warnings);
    assert!(load(&[(ENDPOINT, "http://collector:4318")]).unwrap().warnings.is_empty());
}
