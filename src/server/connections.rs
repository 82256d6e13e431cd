//! Connections: how many, how long each may be idle, and what one peer can make us keep.
//!
//! At the cap no further connection is accepted: it waits in the system's queue, costs this process nothing, and comes in
//! as soon as another ends, which is soon, because idle ones are closed. hyper bounds the time for an HTTP/1 head from its
//! first byte on. Silent connections, halves of an HTTP/2 greeting, HTTP/2 without streams and answers that nobody reads
//! are closed here: none of them has a request running.

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

/// How long a connection may keep us waiting.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    /// For a request head, and on HTTP/1 for another request after one.
    pub(super) head: Duration,
    /// Without any request running. An answer may take as long to be read.
    pub(super) idle: Duration,
    /// Once it was told to end.
    pub(super) farewell: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let (head, idle, farewell) = (Duration::from_secs(10), Duration::from_secs(30), Duration::from_secs(5));
        Self { head, idle, farewell }
    }
}

/// The largest request head, in bytes.
const HEAD_MAX: usize = 32 * 1024;
/// Streams at a time on one HTTP/2 connection.
const STREAMS_MAX: u32 = 256;
/// What a peer may send ahead of us on one HTTP/2 stream, and on all of a connection, in bytes.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;
/// What we may have written ahead of the peer on one HTTP/2 stream, in bytes.
const SEND_BUFFER: usize = 64 * 1024;
/// Streams that a peer may open and reset before we look at them (CVE-2023-44487), and that may end with an error of its
/// making, until the connection is closed.
const RESETS_MAX: usize = 20;
const ERRORS_MAX: usize = 256;

/// Accepts connections and serves them.
pub(super) struct Connections {
    server: auto::Builder<TokioExecutor>,
    router: Router,
    patience: Patience,
    places: Arc<Semaphore>,
    open: TaskTracker,
    stop: CancellationToken,
}

impl Connections {
    pub(super) fn new(router: Router, max: usize, patience: Patience) -> Self {
        let (open, stop) = (TaskTracker::new(), CancellationToken::new());
        Self { server: server(patience), router, patience, places: Arc::new(Semaphore::new(max)), open, stop }
    }

    /// Accepts for ever.
    pub(super) async fn accept(&self, listener: &TcpListener) {
        loop {
            let place = self.places.clone().acquire_owned().await.expect("nobody closes the semaphore");
            let connection = self.serve(accept(listener).await);
            self.open.spawn(async move {
                connection.await;
                drop(place);
            });
        }
    }

    /// The open ones, for whoever counts them.
    pub(super) fn open(&self) -> TaskTracker {
        self.open.clone()
    }

    /// Ends idle connections at once and the others after the request that they are in.
    pub(super) async fn shutdown(&self) {
        self.stop.cancel();
        self.open.close();
        self.open.wait().await;
    }

    /// Serves one connection to its end.
    pub(super) fn serve<S>(&self, stream: S) -> impl Future<Output = ()> + Send + 'static
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (router, activity) = (self.router.clone(), Arc::new(Activity::default()));
        let requests = activity.clone();
        let service = service_fn(move |request| {
            let counted = Counted::from_now_on(&requests);
            let answer = router.clone().call(request);
            async move {
                let answer = answer.await;
                drop(counted);
                answer
            }
        });
        let connection = self.server.serve_connection(TokioIo::new(stream), service).into_owned();
        let (stop, patience) = (self.stop.clone(), self.patience);
        async move {
            let mut connection = pin!(connection);
            // A connection that breaks is the client's business; its requests were logged one by one.
            tokio::select! {
                _ = connection.as_mut() => {}
                () = activity.ceases(patience) => {
                    connection.as_mut().graceful_shutdown();
                    let _ = timeout(patience.farewell, connection).await;
                }
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    let _ = connection.await;
                }
            }
        }
    }
}

fn server(patience: Patience) -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(patience.head)
        .max_buf_size(HEAD_MAX)
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(patience.head)
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(ERRORS_MAX)
        .max_header_list_size(HEAD_MAX.try_into().unwrap_or(u32::MAX));
    server
}

/// The next connection. Running out of file descriptors passes; until then others should have a chance to close theirs. The
/// log tells when it begins and when it ends, not each try.
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

/// What a connection does. Requests only note it down; whoever waits for its end looks now and then, so that no request
/// wakes anybody.
#[derive(Default)]
struct Activity(Mutex<Requests>);

#[derive(Default)]
struct Requests {
    running: usize,
    /// When the last one ended.
    ended: Option<Instant>,
}

impl Activity {
    fn requests(&self) -> MutexGuard<'_, Requests> {
        self.0.lock().expect("nobody panics with the count")
    }

    /// Ends when no request has been running for too long. The first one has to come sooner.
    async fn ceases(&self, patience: Patience) {
        let began = Instant::now();
        loop {
            let wait = {
                let requests = self.requests();
                let deadline = requests.ended.map_or(began + patience.head, |ended| ended + patience.idle);
                if requests.running > 0 { patience.idle } else { deadline.saturating_duration_since(Instant::now()) }
            };
            if wait.is_zero() {
                return;
            }
            // The first request may come and end while this sleeps, and from then on it is `idle` that counts.
            sleep(wait.min(patience.idle)).await;
        }
    }
}

/// A running request among those of its connection, until it is dropped: also when the client resets the stream.
struct Counted(Arc<Activity>);

impl Counted {
    fn from_now_on(activity: &Arc<Activity>) -> Self {
        activity.requests().running += 1;
        Self(activity.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut requests = self.0.requests();
        requests.running -= 1;
        requests.ended = Some(Instant::now());
    }
}
