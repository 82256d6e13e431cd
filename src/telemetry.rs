//! Logs, metrics and the panic hook.
//!
//! Logs go to standard error, as text for people or as JSON for machines. Whatever `RUST_LOG` says, libraries that could
//! write headers, bodies or bound values at their finest levels are kept to `info`: a secret must not depend on a level.

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::LogFormat;

/// Libraries that see secrets pass by.
const KEPT_TO_INFO: [&str; 9] =
    ["axum", "h2", "hyper", "hyper_util", "jsonwebtoken", "reqwest", "rustls", "sqlx", "tower_http"];

/// Upper bounds of the latency histograms, in seconds.
const LATENCY_BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0];

/// Installs the log for the whole process, and the hook that reports panics to it.
pub fn install_log(format: LogFormat, filter: &str) {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(log_filter(filter))
        .with_span_events(FmtSpan::NONE)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.with_ansi(false).finish().init(),
        LogFormat::Json => builder.json().with_current_span(true).with_span_list(false).finish().init(),
    }
    install_panic_hook();
}

fn log_filter(filter: &str) -> EnvFilter {
    KEPT_TO_INFO.iter().fold(EnvFilter::new(filter), |filter, library| {
        let directive = format!("{library}=info").parse().expect("a crate's name and a level are a directive");
        filter.add_directive(directive)
    })
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
    describe_counter!("signature_verifications_total", "Signature checks by purpose (binding, key) and outcome");
    describe_counter!("sms_messages_total", "Messages handed to SMS providers by provider and outcome");
    describe_histogram!("sms_send_duration_seconds", Unit::Seconds, "Time that an SMS provider took");
    describe_counter!("fraud_checks_total", "Fraud checks by action and state");
    describe_histogram!("fraud_check_duration_seconds", Unit::Seconds, "Time that the fraud check took");
    describe_gauge!("database_connections", "Connections of this process's pool by state (idle, used)");
    describe_counter!("panics_total", "Panics; anything but zero is a bug");
    metrics::counter!("panics_total").absolute(0);
}
