//! Logs, metrics and the panic hook.
//!
//! Logs go to standard error, as text or as JSON, and no request waits for the log reader (see `log_writer`). Libraries
//! that could log headers, bodies or bound values at `debug` or `trace` are capped at `info`, regardless of `RUST_LOG`.

mod log_writer;
mod metric_table;

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
pub use self::metric_table::{METRICS, Metric, MetricKind};
use crate::config::LogFormat;
use crate::domain::challenges::DeclineReason;
use crate::traces::OUTCOMES;

/// Prefixes of the targets of libraries that handle secrets: `sqlx` also covers `sqlx_postgres`.
const CAPPED_AT_INFO: [&str; 9] =
    ["axum", "h2", "hyper", "jsonwebtoken", "reqwest", "rlibphonenumber", "rustls", "sqlx", "tower_http"];

/// Upper bounds of the latency histograms, in seconds.
const LATENCY_BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0];

/// Installs the process-wide log and the hook that logs panics. Returns the writer, which the caller has to `finish`
/// before the process exits.
///
/// # Errors
/// When the operating system cannot provide another file descriptor or thread.
pub fn install_log(format: LogFormat, filter: &str) -> io::Result<LogWriter> {
    // Not `io::stderr()`: its lock would be held while the reader stalls.
    let writer = LogWriter::start(File::from(io::stderr().as_fd().try_clone_to_owned()?))?;
    // A separate filter: as directives next to the operator's, the more specific directive would win.
    let registry = tracing_subscriber::registry().with(EnvFilter::new(filter)).with(filter_fn(may_be_logged));
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

/// Whether a line may be logged: not below `info` for libraries that handle secrets.
fn may_be_logged(line: &Metadata<'_>) -> bool {
    *line.level() <= Level::INFO || !CAPPED_AT_INFO.iter().any(|library| line.target().starts_with(library))
}

/// Logs only the location of a panic: its message may quote secrets.
fn install_panic_hook() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(|place| format!("{}:{}", place.file(), place.line()));
        metrics::counter!("panics_total").increment(1);
        tracing::error!(place, "panicked");
    }));
}

/// Installs the process-wide metrics recorder and returns the handle that renders the metrics.
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

/// Describes each metric, and initialises the counters whose first increment an operator must see.
fn describe() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};
    for Metric { name, kind, about, .. } in METRICS {
        match kind {
            MetricKind::Counter => describe_counter!(name, about),
            MetricKind::Gauge => describe_gauge!(name, about),
            MetricKind::Histogram => describe_histogram!(name, metrics::Unit::Seconds, about),
        }
    }
    metrics::counter!("panics_total").absolute(0);
    for kind in Kind::ALL {
        metrics::counter!("log_lines_dropped_total", "kind" => kind.as_str()).absolute(0);
    }
    for outcome in OUTCOMES {
        metrics::counter!("trace_spans_total", "outcome" => outcome).absolute(0);
    }
    metrics::counter!("audit_events_sealed_total").absolute(0);
    for reason in DeclineReason::ALL {
        metrics::counter!("device_challenges_declined_total", "reason" => reason.as_str()).absolute(0);
    }
}
