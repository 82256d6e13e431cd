//! Connections that keep the service waiting, over pipes in memory and with little patience.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::connections::{Connections, Patience};

/// What the pipe holds; answers that are larger wait for their reader.
const PIPE: usize = 1024;
const LARGE: usize = 1024 * 1024;
const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_hours(1);
/// Much longer than a busy machine needs for what takes a moment.
const DEADLINE: Duration = Duration::from_secs(20);

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
/// The preface of HTTP/2 and empty settings (RFC 9113 sections 3.4 and 6.5).
const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A connection to a service that answers a lot, and whether it has ended.
fn connect(patience: Patience) -> (DuplexStream, JoinHandle<()>) {
    connect_to(Router::new().route("/", get(|| async { "x".repeat(LARGE) })), patience)
}

fn connect_to(router: Router, patience: Patience) -> (DuplexStream, JoinHandle<()>) {
    let (ours, theirs) = duplex(PIPE);
    (theirs, tokio::spawn(Connections::new(router, 1, patience).serve(ours)))
}

async fn ends(connection: JoinHandle<()>) {
    timeout(DEADLINE, connection).await.expect("it ends").expect("it does not panic");
}

#[tokio::test]
async fn who_says_nothing_or_half_a_greeting_is_let_go() {
    let patience = Patience { head: SHORT, idle: LONG, farewell: SHORT };
    for begin in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n\r\nS", b"GET / HT", b"GET / HTTP/1.1\r\nhost: a\r\n"] {
        let (mut client, connection) = connect(patience);
        client.write_all(begin).await.expect("the pipe takes it");
        ends(connection).await;
    }
}

#[tokio::test]
async fn a_greeting_is_not_a_request() {
    let (mut client, connection) = connect(Patience { head: SHORT, idle: LONG, farewell: SHORT });
    client.write_all(GREETING).await.expect("the pipe takes it");
    ends(connection).await;
}

#[tokio::test]
async fn an_answer_that_nobody_reads_is_given_up() {
    let (mut client, connection) = connect(Patience { head: LONG, idle: SHORT, farewell: SHORT });
    client.write_all(REQUEST).await.expect("the pipe takes it");
    ends(connection).await;
    // What was in the pipe is all that there is of it.
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.expect("the pipe is closed in order");
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n") && answer.len() < LARGE);
}

#[tokio::test]
async fn a_request_that_runs_is_not_idleness() {
    let go_on = Arc::new(Notify::new());
    let wait = go_on.clone();
    let router = Router::new().route("/", get(async move || wait.notified().await));
    let (mut client, mut connection) = connect_to(router, Patience { head: SHORT, idle: SHORT, farewell: SHORT });
    client.write_all(REQUEST).await.expect("the pipe takes it");
    // Longer than all patience together.
    assert!(timeout(SHORT * 5, &mut connection).await.is_err(), "it was cut while it worked");
    go_on.notify_one();
    ends(connection).await;
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.expect("the pipe is closed in order");
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
}
