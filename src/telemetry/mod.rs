//! Logs, metrics and the panic hook.
//!
//! Logs go to standard error, as text for people or as JSON for machines, and no request waits for the reader of the log
//! (see `log_writer`). Whatever `RUST_LOG` says, libraries that could
//! write headers, bodies or bound values at their finest levels are kept to `info`: a secret must not depend on a level.

mod log_writer;

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use self::log_writer::Kind;
pub use self::log_writer::LogWriter;
use crate::config::LogFormat;

/// Libraries that see secrets pass by. Whatever begins with such a name is one: `sqlx` and `sqlx_postgres`.
const KEPT_TO_INFO: [&str; 9] =
    ["axum", "h2", "hyper", "jsonwebtoken", "reqwest", "rlibphonenumber", "rustls", "sqlx", "tower_http"];

/// Upper bounds of the latency histograms, in seconds.
const LATENCY_BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0];

/// Installs the log for the whole process, and the hook that reports panics to it. Gives the writer behind it, which the
/// process has to finish at its end.
///
/// # Errors
/// When the operating system gives no further file descriptor or thread.
pub fn install_log(format: LogFormat, filter: &str) -> io::Result<LogWriter> {
    // Not `io::stderr()`, whose lock would be held for as long as the reader stalls.
    let writer = LogWriter::start(File::from(io::stderr().as_fd().try_clone_to_owned()?))?;
    // A filter of its own, not directives besides the operator's: the more specific directive of two wins.
    let registry = tracing_subscriber::registry().with(EnvFilter::new(filter)).with(filter_fn(may_be_seen));
    match format {
        LogFormat::Text => {
            registry.with(tracing_subscriber::fmt::layer().with_ansi(false).with_writer(writer.clone())).init();
        }
        LogFormat::Json => {
            registry.with(json_subscriber::layer().with_span_list(false).with_writer(writer.clone())).init();
        }
    }
    install_panic_hook();
    Ok(writer)
}

/// Whether a line may be written at all.
fn may_be_seen(line: &Metadata<'_>) -> bool {
    *line.level() <= Level::INFO || !KEPT_TO_INFO.iter().any(|library| line.target().starts_with(library))
}

/// A panic is told by its place only: its message may quote what was being worked on.
fn install_panic_hook() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(|place| format!("{}:{}", place.file(), place.line()));
        metrics::counter!("panics_total").increment(1);
        tracing::error!(place, "panicked");
    }));
}

/// Installs the metrics for the whole process and gives the handle that renders them.
///
/// # Errors
/// When metrics are installed already.
pub fn install_metrics() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("duration_seconds".to_owned()), &LATENCY_BUCKETS)?
        .install_recorder()?;
    describe();
    Ok(handle)
}

fn describe() {
    use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
    describe_counter!("http_requests_total", "Answered requests by method, route and status");
    describe_histogram!("http_request_duration_seconds", Unit::Seconds, "Time to answer by method, route and status");
    describe_counter!("requests_shed_total", "Requests refused because too much was going on, by class and reason");
    describe_gauge!("http_connections", "Open connections to the API");
    describe_counter!("signature_verifications_total", "Signature checks by purpose (binding, key) and outcome");
    describe_counter!("sms_messages_total", "Messages by SMS provider and what became of them there");
    describe_gauge!("sms_provider_open", "1 while an SMS provider is skipped after failures, by provider");
    describe_histogram!("sms_send_duration_seconds", Unit::Seconds, "Time that an SMS provider took");
    describe_counter!("fraud_checks_total", "Fraud checks by action and state");
    describe_histogram!("fraud_check_duration_seconds", Unit::Seconds, "Time that the fraud check took");
    describe_counter!(
        "sms_refused_total",
        "Messages not sent by reason and limits (enforce; dry-run: sent all the same)"
    );
    describe_gauge!(
        "sms_conversion_open",
        "Partners for which sending to the country is stopped: too few codes are used"
    );
    describe_counter!("audit_events_sealed_total", "Audit events that were sealed into their partner's chain");
    describe_gauge!("audit_events_waiting", "Audit events that wait to be sealed, of all partners, up to 100000");
    describe_counter!("housekeeping_rows_total", "Rows that nobody needed any more and that were removed, by kind");
    describe_gauge!("database_connections", "Connections of this process's pool by state (idle, used)");
    describe_counter!(
        "background_runs_total",
        "Work that no request asked for, by task and outcome (done, held_elsewhere, failed)"
    );
    describe_counter!("panics_total", "Panics; anything but zero is a bug");
    describe_counter!(
        "log_lines_dropped_total",
        "Log lines dropped because the reader of the log was too slow, by kind (ordinary; important: errors, audit)"
    );
    metrics::counter!("panics_total").absolute(0);
    for kind in Kind::ALL {
        metrics::counter!("log_lines_dropped_total", "kind" => kind.as_str()).absolute(0);
    }
    metrics::counter!("audit_events_sealed_total").absolute(0);
}
