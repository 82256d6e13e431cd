//! Listens, serves, and stops without dropping anybody.
//!
//! SIGTERM or SIGINT makes `/readyz` answer 503 at once. New requests are still served for a moment, until load balancers
//! have noticed; then keep-alive connections end after the request that they are in and running use cases finish, within a
//! deadline.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::api::{self, App};
use crate::background::{Background, duties};

/// How long a client may take over its request head.
const HEADER_DEADLINE: Duration = Duration::from_secs(10);
/// The largest request head, in bytes.
const HEAD_MAX: usize = 32 * 1024;
/// Streams at a time on one HTTP/2 connection.
const STREAMS_MAX: u32 = 256;
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
///
/// # Errors
/// When the process cannot catch signals: it could not stop in order.
pub async fn serve(
    listeners: Listeners,
    app: App,
    metrics: PrometheusHandle,
    shutdown: Shutdown,
) -> std::io::Result<bool> {
    // Before the first request is served: from then on a signal must not end the process the hard way.
    let signals = StopSignals::catch()?;
    let stop = CancellationToken::new();
    let graceful = GracefulShutdown::new();
    let metrics_server = tokio::spawn(serve_metrics(listeners.metrics, app.clone(), metrics, stop.clone()));
    let background = Background::start(&app.service, duties(), &app.service.entropy);
    let router = api::router(app.clone());
    let server = server();
    let mut closing = pin!(close_after_signal(signals, &app, shutdown.delay));

    loop {
        let stream = tokio::select! {
            stream = accept(&listeners.http) => stream,
            () = &mut closing => break,
        };
        let service = TowerToHyperService::new(router.clone());
        let connection = server.serve_connection_with_upgrades(TokioIo::new(stream), service);
        let connection = graceful.watch(connection.into_owned());
        tokio::spawn(async move {
            // A connection that breaks is the client's business; its requests were logged one by one.
            let _ = connection.await;
        });
    }

    drop(listeners.http);
    tracing::info!("no new connections, finishing what runs");
    let drained = tokio::time::timeout(shutdown.deadline, async {
        graceful.shutdown().await;
        app.running.close();
        app.running.wait().await;
        background.finish().await;
        app.service.store.close().await;
    });
    let in_time = drained.await.is_ok();
    stop.cancel();
    metrics_server.abort();
    tracing::info!(in_time, "stopped");
    Ok(in_time)
}

fn server() -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_DEADLINE)
        .max_buf_size(HEAD_MAX)
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(HEADER_DEADLINE)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_MAX.try_into().unwrap_or(u32::MAX));
    server
}

/// The next connection. Running out of file descriptors passes; until then others should have a chance to close theirs.
async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                return stream;
            }
            Err(error) => {
                tracing::warn!(%error, "no connection accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Ends some time after the process has been told to stop; `/readyz` says so from the first moment.
async fn close_after_signal(mut signals: StopSignals, app: &App, delay: Duration) {
    signals.any().await;
    app.draining.store(true, Ordering::Relaxed);
    tracing::info!("stopping: not ready any more");
    tokio::time::sleep(delay).await;
}

/// What tells the process to stop.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn catch() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// GET /metrics, on a listener of its own: what it tells is for operators only.
async fn serve_metrics(
    listener: TcpListener,
    app: App,
    metrics: PrometheusHandle,
    stop: CancellationToken,
) -> Result<(), Infallible> {
    let upkeep = metrics.clone();
    tokio::spawn(async move {
        while tokio::time::timeout(METRICS_UPKEEP, stop.cancelled()).await.is_err() {
            upkeep.run_upkeep();
        }
    });
    let render = move || async move {
        let usage = app.service.store.pool_use();
        let used = f64::from(usage.open) - f64::from(u32::try_from(usage.idle).unwrap_or(u32::MAX));
        metrics::gauge!("database_connections", "state" => "used").set(used.max(0.0));
        metrics::gauge!("database_connections", "state" => "idle")
            .set(f64::from(u32::try_from(usage.idle).unwrap_or(u32::MAX)));
        ([("content-type", "text/plain; version=0.0.4; charset=utf-8")], metrics.render())
    };
    let router = Router::new().route("/metrics", get(render));
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "metrics are no longer served");
    }
    Ok(())
}
