//! Every metric of the service, with its labels. `docs/operations.md` has the same table; tests compare both with the
//! metrics that the service exposes.

/// The type of a metric.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MetricKind {
    /// A count that only increases.
    Counter,
    /// A current value.
    Gauge,
    /// A distribution of durations in seconds.
    Histogram,
}

/// A metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name in the exposition.
    pub name: &'static str,
    /// Its type.
    pub kind: MetricKind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// Its `# HELP` text in the exposition.
    pub about: &'static str,
}

const fn counter(name: &'static str, labels: &'static [&'static str], about: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Counter, labels, about }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], about: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Gauge, labels, about }
}

const fn histogram(name: &'static str, labels: &'static [&'static str], about: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Histogram, labels, about }
}

/// Every metric, in the order of `docs/operations.md`.
pub const METRICS: [Metric; 22] = [
    counter("http_requests_total", &["method", "route", "status"], "Answered requests"),
    histogram("http_request_duration_seconds", &["method", "route", "status"], "Time to answer"),
    counter("requests_shed_total", &["class", "reason"], "Requests refused by load shedding"),
    gauge("http_connections", &[], "Open connections to the API"),
    counter("signature_verifications_total", &["purpose", "outcome"], "Signature checks"),
    counter("device_challenges_declined_total", &["reason"], "Device challenges that the person declined"),
    counter("sms_messages_total", &["provider", "outcome"], "SMS by provider and outcome"),
    gauge("sms_provider_open", &["provider"], "1 while the circuit breaker of an SMS provider is open"),
    histogram("sms_send_duration_seconds", &["provider"], "Duration of calls to an SMS provider"),
    counter("sms_refused_total", &["reason", "limits"], "SMS refused by a limit (with limits=dry-run: sent anyway)"),
    gauge(
        "sms_conversion_open",
        &["country"],
        "Partners for which sending to the country is stopped because too few codes are used",
    ),
    counter("fraud_checks_total", &["action", "state"], "Fraud checks"),
    histogram("fraud_check_duration_seconds", &[], "Duration of fraud checks"),
    counter("identity_provider_fetches_total", &["outcome"], "Fetches of the identity provider's keys"),
    counter("audit_events_sealed_total", &[], "Audit events sealed into their partner's hash chain"),
    gauge("audit_events_waiting", &[], "Audit events not sealed yet, of all partners, up to 100000"),
    counter("housekeeping_rows_total", &["kind"], "Rows removed by housekeeping"),
    gauge("database_connections", &["state"], "Connections in this process's connection pool"),
    counter("background_runs_total", &["task", "outcome"], "Runs of background tasks"),
    counter("panics_total", &[], "Panics; any value above zero is a bug"),
    counter("trace_spans_total", &["outcome"], "Spans that were exported, or not"),
    counter("log_lines_dropped_total", &["kind"], "Log lines dropped because the log reader was too slow"),
];
