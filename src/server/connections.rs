//! Connection limits: how many connections are open, how long each may be idle, and how much memory a peer can use.
//!
//! At the limit, further connections wait in the listen queue of the operating system until another one ends. hyper has
//! a timeout for an HTTP/1 head from its first byte on. This module closes the other connections without a running
//! request: silent ones, incomplete HTTP/2 prefaces, HTTP/2 without streams, and answers that the client does not read.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service as _;

/// The timeouts of a connection.
#[derive(Clone, Copy)]
pub(super) struct Timeouts {
    /// For a request head, and on HTTP/1 for the next request of a keep-alive connection.
    pub(super) head: Duration,
    /// Without a running request. It also limits the time for the client to read an answer.
    pub(super) idle: Duration,
    /// After the start of a graceful shutdown of the connection.
    pub(super) shutdown: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let (head, idle, shutdown) = (Duration::from_secs(10), Duration::from_secs(30), Duration::from_secs(5));
        Self { head, idle, shutdown }
    }
}

/// The largest request head, in bytes.
const HEAD_MAX: usize = 32 * 1024;
/// Concurrent streams on one HTTP/2 connection.
const STREAMS_MAX: u32 = 256;
/// The HTTP/2 flow-control windows of a stream and of a connection, in bytes.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;
/// The send buffer of an HTTP/2 stream, in bytes.
const SEND_BUFFER: usize = 64 * 1024;
/// How many streams a peer may reset before they are accepted (rapid reset, CVE-2023-44487), and how many may end with
/// an error that it caused, before the connection is closed.
const RESETS_MAX: usize = 20;
const ERRORS_MAX: usize = 256;

/// Accepts connections and serves them.
pub(super) struct Connections {
    server: auto::Builder<TokioExecutor>,
    router: Router,
    timeouts: Timeouts,
    permits: Arc<Semaphore>,
    open: TaskTracker,
    stop: CancellationToken,
}

impl Connections {
    pub(super) fn new(router: Router, max: usize, timeouts: Timeouts) -> Self {
        let (open, stop) = (TaskTracker::new(), CancellationToken::new());
        Self { server: server(timeouts), router, timeouts, permits: Arc::new(Semaphore::new(max)), open, stop }
    }

    /// Accepts connections forever.
    pub(super) async fn accept(&self, listener: &TcpListener) {
        loop {
            let permit = self.permits.clone().acquire_owned().await.expect("the semaphore is never closed");
            let connection = self.serve(accept(listener).await);
            self.open.spawn(async move {
                connection.await;
                drop(permit);
            });
        }
    }

    /// The open connections, for the metrics.
    pub(super) fn open(&self) -> TaskTracker {
        self.open.clone()
    }

    /// Closes idle connections immediately and the others after their current request.
    pub(super) async fn shutdown(&self) {
        self.stop.cancel();
        self.open.close();
        self.open.wait().await;
    }

    /// Serves one connection until it is closed.
    pub(super) fn serve<S>(&self, stream: S) -> impl Future<Output = ()> + Send + 'static
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (router, activity) = (self.router.clone(), Arc::new(Activity::default()));
        let requests = activity.clone();
        let service = service_fn(move |request| {
            let running = RunningRequest::start(&requests);
            let answer = router.clone().call(request);
            async move {
                let answer = answer.await;
                drop(running);
                answer
            }
        });
        let connection = self.server.serve_connection(TokioIo::new(stream), service).into_owned();
        let (stop, timeouts) = (self.stop.clone(), self.timeouts);
        async move {
            let mut connection = pin!(connection);
            // A connection error is not logged: it is the client's, and each request has its own log line.
            tokio::select! {
                _ = connection.as_mut() => {}
                () = activity.idle(timeouts) => {
                    connection.as_mut().graceful_shutdown();
                    let _ = timeout(timeouts.shutdown, connection).await;
                }
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    let _ = connection.await;
                }
            }
        }
    }
}

fn server(timeouts: Timeouts) -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(timeouts.head)
        .max_buf_size(HEAD_MAX)
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(timeouts.head)
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(ERRORS_MAX)
        .max_header_list_size(HEAD_MAX.try_into().unwrap_or(u32::MAX));
    server
}

/// Accepts the next connection. Errors such as exhausted file descriptors are temporary, so it retries after a pause.
/// The log has the first failure and the recovery, not each attempt.
async fn accept(listener: &TcpListener) -> TcpStream {
    let mut failing = false;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if failing {
                    tracing::info!("connections accepted again");
                }
                let _ = stream.set_nodelay(true);
                return stream;
            }
            Err(error) => {
                if !failing {
                    tracing::warn!(%error, "connection not accepted, will retry");
                }
                failing = true;
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// The running requests of a connection. Requests only update the count, and [`Activity::idle`] polls it, so that a
/// request causes no wake-up.
#[derive(Default)]
struct Activity(Mutex<Requests>);

#[derive(Default)]
struct Requests {
    running: usize,
    /// When the last request ended.
    ended: Option<Instant>,
}

impl Activity {
    fn requests(&self) -> MutexGuard<'_, Requests> {
        self.0.lock().expect("no thread panics with the lock")
    }

    /// Returns when no request has been running for the idle timeout, or when no first request came within the head
    /// timeout.
    async fn idle(&self, timeouts: Timeouts) {
        let began = Instant::now();
        loop {
            let wait = {
                let requests = self.requests();
                let deadline = requests.ended.map_or(began + timeouts.head, |ended| ended + timeouts.idle);
                if requests.running > 0 { timeouts.idle } else { deadline.saturating_duration_since(Instant::now()) }
            };
            if wait.is_zero() {
                return;
            }
            // The first request may start and end during the sleep; from then on the idle timeout applies.
            sleep(wait.min(timeouts.idle)).await;
        }
    }
}

/// Counts a running request of a connection until it is dropped, which a reset of the stream does too.
struct RunningRequest(Arc<Activity>);

impl RunningRequest {
    fn start(activity: &Arc<Activity>) -> Self {
        activity.requests().running += 1;
        Self(activity.clone())
    }
}

impl Drop for RunningRequest {
    fn drop(&mut self) {
        let mut requests = self.0.requests();
        requests.running -= 1;
        requests.ended = Some(Instant::now());
    }
}
