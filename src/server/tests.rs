//! Timeouts of idle and stalled connections, over in-memory pipes and with short timeouts.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::connections::{Connections, Timeouts};

/// The capacity of the pipe in bytes; larger answers block until they are read.
const PIPE: usize = 1024;
const LARGE: usize = 1024 * 1024;
const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_hours(1);
/// The timeout of the tests, long enough for a busy machine.
const DEADLINE: Duration = Duration::from_secs(20);

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
/// The HTTP/2 connection preface with empty settings (RFC 9113 sections 3.4 and 6.5).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A connection to a service with a large answer, and the task that serves it.
fn connect(timeouts: Timeouts) -> (DuplexStream, JoinHandle<()>) {
    connect_to(Router::new().route("/", get(|| async { "x".repeat(LARGE) })), timeouts)
}

fn connect_to(router: Router, timeouts: Timeouts) -> (DuplexStream, JoinHandle<()>) {
    let (ours, theirs) = duplex(PIPE);
    (theirs, tokio::spawn(Connections::new(router, 1, timeouts).serve(ours)))
}

async fn ends(connection: JoinHandle<()>) {
    timeout(DEADLINE, connection).await.expect("the connection is closed").expect("serving does not panic");
}

#[tokio::test]
async fn a_silent_connection_or_an_incomplete_head_times_out() {
    let timeouts = Timeouts { head: SHORT, idle: LONG, shutdown: SHORT };
    for begin in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n\r\nS", b"GET / HT", b"GET / HTTP/1.1\r\nhost: a\r\n"] {
        let (mut client, connection) = connect(timeouts);
        client.write_all(begin).await.expect("the pipe has room");
        ends(connection).await;
    }
}

#[tokio::test]
async fn an_http_2_preface_without_a_request_times_out() {
    let (mut client, connection) = connect(Timeouts { head: SHORT, idle: LONG, shutdown: SHORT });
    client.write_all(PREFACE).await.expect("the pipe has room");
    ends(connection).await;
}

#[tokio::test]
async fn an_answer_that_the_client_does_not_read_times_out() {
    let (mut client, connection) = connect(Timeouts { head: LONG, idle: SHORT, shutdown: SHORT });
    client.write_all(REQUEST).await.expect("the pipe has room");
    ends(connection).await;
    // Only the part that was in the pipe is left.
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.expect("the pipe is closed without an error");
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n") && answer.len() < LARGE);
}

#[tokio::test]
async fn a_connection_with_a_running_request_is_not_idle() {
    let finish = Arc::new(Notify::new());
    let wait = finish.clone();
    let router = Router::new().route("/", get(async move || wait.notified().await));
    let (mut client, mut connection) = connect_to(router, Timeouts { head: SHORT, idle: SHORT, shutdown: SHORT });
    client.write_all(REQUEST).await.expect("the pipe has room");
    // Longer than all timeouts together.
    assert!(timeout(SHORT * 5, &mut connection).await.is_err(), "the connection stays open while its request runs");
    finish.notify_one();
    ends(connection).await;
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.expect("the pipe is closed without an error");
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
}
