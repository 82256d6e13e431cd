//! The listeners of a process, and its graceful shutdown.
//!
//! SIGTERM or SIGINT makes `/readyz` answer 503 immediately. New requests are served for a configured delay, so that
//! load balancers can notice. Then keep-alive connections are closed after their current request and running use cases
//! finish, within a deadline.

mod connections;
#[cfg(test)]
mod tests;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::task::TaskTracker;

use self::connections::{Connections, Timeouts};
use crate::api::{self, App};
use crate::background::{Background, duties, token_duties};

/// The connection limit of the metrics listener. Prometheus needs one or two; more would take file descriptors from the
/// API.
const METRICS_CONNECTIONS_MAX: usize = 16;

/// How often histograms are drained if the metrics are not scraped.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);

/// The longest time that the exit waits for the last spans to be exported.
const TRACES_FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// The sockets of a process.
pub struct Listeners {
    /// For the API.
    pub http: TcpListener,
    /// For the metrics.
    pub metrics: TcpListener,
}

/// The settings of the graceful shutdown.
#[derive(Clone, Copy, Debug)]
pub struct Shutdown {
    /// For how long new requests are still accepted after the stop signal.
    pub delay: Duration,
    /// How long running requests may take after that delay.
    pub deadline: Duration,
}

/// Serves until a stop signal, then drains. Returns true if everything ended within the deadline.
pub async fn serve(
    listeners: Listeners,
    app: App,
    metrics: PrometheusHandle,
    connections_max: usize,
    signals: StopSignals,
    shutdown: Shutdown,
) -> bool {
    let background =
        Background::new(app.service.entropy.clone()).start(&app.service, duties()).start(&app.tokens, token_duties());
    let connections = Connections::new(api::router(app.clone()), connections_max, Timeouts::default());
    let metrics_router = metrics_router(app.clone(), metrics.clone(), connections.open());
    let metrics_connections = Connections::new(metrics_router, METRICS_CONNECTIONS_MAX, Timeouts::default());
    let metrics_server = tokio::spawn(async move { metrics_connections.accept(&listeners.metrics).await });
    let upkeep = tokio::spawn(drain_histograms(metrics));
    tokio::select! {
        () = connections.accept(&listeners.http) => {}
        () = close_after_signal(signals, &app, shutdown.delay) => {}
    }

    drop(listeners.http);
    tracing::info!("listener closed, draining connections");
    let drained = tokio::time::timeout(shutdown.deadline, async {
        connections.shutdown().await;
        app.running.close();
        app.running.wait().await;
        background.finish().await;
        app.service.store.close().await;
    });
    let started = Instant::now();
    let in_time = drained.await.is_ok();
    app.traces.finish(shutdown.deadline.saturating_sub(started.elapsed()).min(TRACES_FLUSH_TIMEOUT)).await;
    metrics_server.abort();
    upkeep.abort();
    tracing::info!(in_time, "stopped");
    in_time
}

/// Waits for a stop signal, makes `/readyz` answer 503, and returns after the delay.
async fn close_after_signal(mut signals: StopSignals, app: &App, delay: Duration) {
    signals.any().await;
    app.draining.store(true, Ordering::Relaxed);
    tracing::info!("stop signal received, no longer ready");
    tokio::time::sleep(delay).await;
}

/// The stop signals, SIGTERM and SIGINT.
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// Installs the signal handlers, so that the signals no longer kill the process. Call it before `listening` is
    /// logged.
    ///
    /// # Errors
    /// When the handlers cannot be installed: a graceful shutdown would be impossible.
    pub fn catch() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// GET /metrics, for a separate listener: the metrics are for operators only.
fn metrics_router(app: App, metrics: PrometheusHandle, connections: TaskTracker) -> Router {
    let render = move || async move {
        let usage = app.service.store.pool_use();
        metrics::gauge!("database_connections", "state" => "used").set(f64::from(usage.used));
        metrics::gauge!("database_connections", "state" => "idle").set(f64::from(usage.idle));
        let open = u32::try_from(connections.len()).unwrap_or(u32::MAX);
        metrics::gauge!("http_connections").set(f64::from(open));
        ([("content-type", "text/plain; version=0.0.4; charset=utf-8")], metrics.render())
    };
    Router::new().route("/metrics", get(render))
}

/// Drains histograms periodically, so that their memory is bounded if the metrics are not scraped.
async fn drain_histograms(metrics: PrometheusHandle) {
    loop {
        tokio::time::sleep(METRICS_UPKEEP).await;
        metrics.run_upkeep();
    }
}
