//! Listens, serves, and stops without dropping anybody.
//!
//! SIGTERM or SIGINT makes `/readyz` answer 503 at once. New requests are still served for a moment, until load balancers
//! have noticed; then keep-alive connections end after the request that they are in and running use cases finish, within a
//! deadline.

mod connections;
#[cfg(test)]
mod tests;

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::task::TaskTracker;

use self::connections::{Connections, Patience};
use crate::api::{self, App};
use crate::background::{Background, duties, token_duties};

/// Connections to the metrics listener at a time. Prometheus keeps one or two; more would take file descriptors from the API.
const METRICS_CONNECTIONS_MAX: usize = 16;

/// How often histograms are folded when nobody asks for the metrics.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);

/// The sockets of a process.
pub struct Listeners {
    /// For the API.
    pub http: TcpListener,
    /// For the metrics.
    pub metrics: TcpListener,
}

/// How a process stops.
#[derive(Clone, Copy, Debug)]
pub struct Shutdown {
    /// For how long new requests are still served after the signal.
    pub delay: Duration,
    /// How long running requests may take after that.
    pub deadline: Duration,
}

/// Serves until the process is told to stop, then drains. True when everything ended within the deadline.
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
    let connections = Connections::new(api::router(app.clone()), connections_max, Patience::default());
    let metrics_router = metrics_router(app.clone(), metrics.clone(), connections.open());
    let metrics_connections = Connections::new(metrics_router, METRICS_CONNECTIONS_MAX, Patience::default());
    let metrics_server = tokio::spawn(async move { metrics_connections.accept(&listeners.metrics).await });
    let upkeep = tokio::spawn(keep_metrics_folded(metrics));
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
    let in_time = drained.await.is_ok();
    metrics_server.abort();
    upkeep.abort();
    tracing::info!(in_time, "stopped");
    in_time
}

/// Ends some time after the process has been told to stop; `/readyz` says so from the first moment.
async fn close_after_signal(mut signals: StopSignals, app: &App, delay: Duration) {
    signals.any().await;
    app.draining.store(true, Ordering::Relaxed);
    tracing::info!("stop signal received, no longer ready");
    tokio::time::sleep(delay).await;
}

/// What tells the process to stop.
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// From now on they do not end the process the hard way. To be done before anybody hears that it listens.
    ///
    /// # Errors
    /// When the process cannot catch signals: it could not stop in order.
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

/// GET /metrics, for a listener of its own: what it tells is for operators only.
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

/// Folds histograms for as long as the metrics are not asked for, so that their memory has a bound.
async fn keep_metrics_folded(metrics: PrometheusHandle) {
    loop {
        tokio::time::sleep(METRICS_UPKEEP).await;
        metrics.run_upkeep();
    }
}
