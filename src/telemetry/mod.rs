//! Logs, metrics and the panic hook.
//!
//! Logs go to standard error, as text for people or as JSON for machines, and no request waits for the reader of the log
//! (see `log_writer`). Whatever `RUST_LOG` says, libraries that could
//! write headers, bodies or bound values at their finest levels are kept to `info`: a secret must not depend on a level.

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

/// Tells Prometheus what each metric means, and begins those at zero that an operator watches for a first event.
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
    metrics::counter!("audit_events_sealed_total").absolute(0);
}
