//! Every metric that the service has, with its labels. `docs/operations.md` prints the same table, and tests hold both against
//! the service.

/// What a metric counts or measures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MetricKind {
    /// Only ever rises.
    Counter,
    /// As it is now.
    Gauge,
    /// A distribution of durations in seconds.
    Histogram,
}

/// A metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name in the exposition.
    pub name: &'static str,
    /// What it is.
    pub kind: MetricKind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// The line for those who read the exposition.
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
pub const METRICS: [Metric; 20] = [
    counter("http_requests_total", &["method", "route", "status"], "Answered requests"),
    histogram("http_request_duration_seconds", &["method", "route", "status"], "Time to answer"),
    counter("requests_shed_total", &["class", "reason"], "Requests refused because too much was going on"),
    gauge("http_connections", &[], "Open connections to the API"),
    counter("signature_verifications_total", &["purpose", "outcome"], "Signature checks"),
    counter("sms_messages_total", &["provider", "outcome"], "Messages by SMS provider and what became of them there"),
    gauge("sms_provider_open", &["provider"], "1 while an SMS provider is skipped after failures"),
    histogram("sms_send_duration_seconds", &["provider"], "Time that an SMS provider took"),
    counter("sms_refused_total", &["reason", "limits"], "Messages not sent (with limits=dry-run: sent all the same)"),
    gauge(
        "sms_conversion_open",
        &["country"],
        "Partners for which sending to the country is stopped: too few codes are used",
    ),
    counter("fraud_checks_total", &["action", "state"], "Fraud checks"),
    histogram("fraud_check_duration_seconds", &[], "Time that the fraud check took"),
    counter("identity_provider_fetches_total", &["outcome"], "Fetches of the identity provider's keys"),
    counter("audit_events_sealed_total", &[], "Audit events that were sealed into their partner's chain"),
    gauge("audit_events_waiting", &[], "Audit events that wait to be sealed, of all partners, up to 100000"),
    counter("housekeeping_rows_total", &["kind"], "Rows removed by housekeeping"),
    gauge("database_connections", &["state"], "Connections of this process's pool"),
    counter("background_runs_total", &["task", "outcome"], "Runs of background tasks"),
    counter("panics_total", &[], "Panics; anything but zero is a bug"),
    counter("log_lines_dropped_total", &["kind"], "Log lines dropped because the reader of the log was too slow"),
];
