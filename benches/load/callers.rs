//! Clients with one connection each, which send the next request when the last one is answered (a closed loop).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{Connection, SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use crate::people;

/// The services, the number of connections and the duration of an order.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Terms {
    /// `host:port` of each replica; connections are distributed over them.
    services: Vec<String>,
    /// A token of each partner.
    tokens: Vec<String>,
    connections: usize,
    /// No request is sent after this time.
    seconds: f64,
}

/// A list of requests, each generated when it is sent.
pub(crate) trait Errand {
    /// The request at this place in the list; none after the end.
    fn request(&self, place: usize) -> Option<Ask>;

    /// Checks the answer to the request at this place; the error is the expected answer.
    fn check(&self, place: usize, status: StatusCode, body: &[u8]) -> Result<(), &'static str>;

    /// The request that follows this answer on the same connection. It counts as a part of the same request.
    fn follow_up(&self, _place: usize, _status: StatusCode, _body: &[u8]) -> anyhow::Result<Option<Ask>> {
        Ok(None)
    }
}

/// A request without headers.
pub(crate) struct Ask {
    /// The number of the person, which determines the partner that sends it.
    pub(crate) number: u64,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) body: String,
}

/// Runs an errand and reports the number of answered requests, the total time and the latency.
pub(crate) async fn run(terms: &Terms, errand: Rc<dyn Errand>) -> anyhow::Result<Value> {
    let mut open = Vec::new();
    for number in 0..terms.connections {
        let service = &terms.services[number % terms.services.len()];
        open.push((HeaderValue::try_from(service)?, connect(service).await.context("cannot connect to the service")?));
    }
    let bearers: Result<Rc<[_]>, _> =
        terms.tokens.iter().map(|token| HeaderValue::try_from(format!("Bearer {token}"))).collect();
    let bearers = bearers.context("the token is no valid header value")?;
    let waits = Rc::new(RefCell::new(Vec::new()));
    let next = Rc::new(Cell::new(0));
    let started = Instant::now();
    let end = started + Duration::from_secs_f64(terms.seconds);
    let callers = LocalSet::new();
    let tasks: Vec<_> = open
        .into_iter()
        .map(|(service, (sender, connection))| {
            let headers = (service, bearers.clone());
            let calls = call(sender, headers, errand.clone(), next.clone(), waits.clone(), end);
            // One task per client, to use little of the cores that the service runs on.
            callers.spawn_local(async move {
                tokio::select! {
                    called = calls => called,
                    ended = connection => {
                        ended?;
                        bail!("the service closed the connection")
                    }
                }
            })
        })
        .collect();
    callers
        .run_until(async {
            for task in tasks {
                task.await??;
            }
            anyhow::Ok(())
        })
        .await?;
    let took = started.elapsed();
    Ok(report(took, &mut waits.borrow_mut()))
}

type Opened = (SendRequest<Full<Bytes>>, Connection<TokioIo<TcpStream>, Full<Bytes>>);

async fn connect(service: &str) -> anyhow::Result<Opened> {
    let stream = TcpStream::connect(service).await?;
    stream.set_nodelay(true)?;
    Ok(handshake(TokioIo::new(stream)).await?)
}

async fn call(
    mut connection: SendRequest<Full<Bytes>>,
    (host, bearers): (HeaderValue, Rc<[HeaderValue]>),
    errand: Rc<dyn Errand>,
    next: Rc<Cell<usize>>,
    waits: Rc<RefCell<Vec<Duration>>>,
    end: Instant,
) -> anyhow::Result<()> {
    while Instant::now() < end {
        let place = next.replace(next.get() + 1);
        let Some(mut ask) = errand.request(place) else { break };
        let started = Instant::now();
        let wait = loop {
            let request = Request::builder()
                .method(ask.method)
                .uri(ask.path)
                .header(HOST, host.clone())
                .header(AUTHORIZATION, bearers[people::partner(ask.number, bearers.len())].clone())
                .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
                .body(Full::from(ask.body))?;
            let response = connection.send_request(request).await?;
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            let wait = started.elapsed();
            let verdict = errand.check(place, status, &body);
            ensure!(verdict.is_ok(), "expected {verdict:?}, got {status} {}", String::from_utf8_lossy(&body));
            let Some(next) = errand.follow_up(place, status, &body)? else { break wait };
            ask = next;
        };
        waits.borrow_mut().push(wait);
    }
    Ok(())
}

fn report(took: Duration, waits: &mut [Duration]) -> Value {
    waits.sort_unstable();
    let wait = |percent: usize| {
        let place = (waits.len() * percent).div_ceil(100).saturating_sub(1);
        waits.get(place).map(|wait| wait.as_secs_f64() * 1000.0)
    };
    json!({
        "requests": waits.len(),
        "seconds": took.as_secs_f64(),
        "p50_ms": wait(50),
        "p95_ms": wait(95),
        "p99_ms": wait(99),
    })
}
