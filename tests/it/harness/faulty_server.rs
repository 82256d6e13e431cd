//! A test double of a server that misbehaves below HTTP: resets, hangs, malformed, slow and oversized answers.
//!
//! It accepts connections on a free loopback port until it is dropped, and handles each as its [`Behaviour`] says.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// How the server handles a connection.
#[derive(Clone, Debug)]
pub(crate) enum Behaviour {
    /// Closed before the request is read.
    Close,
    /// Closed after the whole request was read.
    CloseAfterRequest,
    /// Reset before the request is read.
    Reset,
    /// Reset after the whole request was read.
    ResetAfterRequest,
    /// The first request is answered with exactly these bytes; the connection is reset after the second.
    RespondThenReset(Vec<u8>),
    /// Kept open without a response.
    Hang,
    /// Answered with exactly these bytes, then closed.
    Respond(Vec<u8>),
    /// Answered with a head that comes one byte at a time and never ends.
    SlowHead,
    /// Answered with a head of this status and a body that comes one byte at a time and never ends.
    SlowBody(u16),
    /// Answered with a head of this status and a body of this many bytes that is not JSON.
    LargeBody(u16, usize),
}

/// The server. Its connections close when it is dropped.
pub(crate) struct FaultyServer {
    address: SocketAddr,
    requests: watch::Receiver<usize>,
    task: JoinHandle<()>,
}

impl FaultyServer {
    /// Starts a server.
    pub(crate) async fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, requests) = watch::channel(0);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, behaviour.clone(), seen.clone()));
            }
        });
        Self { address, requests, task }
    }

    /// The base URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The number of whole requests read.
    pub(crate) fn requests(&self) -> usize {
        *self.requests.borrow()
    }

    /// Waits until `count` whole requests were read.
    pub(crate) async fn has_read(&self, count: usize) {
        self.requests.clone().wait_for(|read| *read >= count).await.expect("the server runs");
    }
}

impl Drop for FaultyServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An address that refuses connections for as long as it lives: the port is bound, but no socket listens.
pub(crate) struct ClosedPort(TcpSocket);

impl ClosedPort {
    /// Takes a free port.
    pub(crate) fn take() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Self(socket)
    }

    /// The base URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().unwrap())
    }
}

async fn serve(mut stream: TcpStream, behaviour: Behaviour, seen: watch::Sender<usize>) {
    match behaviour {
        Behaviour::Close => return,
        Behaviour::Reset => return reset(&stream),
        _ => {}
    }
    if !read_request(&mut stream).await {
        return;
    }
    seen.send_modify(|count| *count += 1);
    match behaviour {
        Behaviour::Close | Behaviour::CloseAfterRequest => {}
        Behaviour::Reset | Behaviour::ResetAfterRequest => reset(&stream),
        Behaviour::RespondThenReset(bytes) => {
            stream.write_all(&bytes).await.unwrap();
            if read_request(&mut stream).await {
                seen.send_modify(|count| *count += 1);
                reset(&stream);
            }
        }
        Behaviour::Hang => std::future::pending().await,
        // The client may close the connection before it has read everything.
        Behaviour::Respond(bytes) => drop(stream.write_all(&bytes).await),
        Behaviour::SlowHead => send_slowly(&mut stream, "HTTP/1.1 200 OK\r\nx-drip: ").await,
        Behaviour::SlowBody(status) => send_slowly(&mut stream, &head(status, 1 << 20)).await,
        Behaviour::LargeBody(status, size) => drop(send_large_body(&mut stream, status, size).await),
    }
}

/// The connection ends with RST instead of FIN when it is dropped.
fn reset(stream: &TcpStream) {
    stream.set_zero_linger().unwrap();
}

/// Reads a head and the body of its content-length; false when the client disconnects before the end.
async fn read_request(stream: &mut TcpStream) -> bool {
    let mut request = Vec::new();
    loop {
        if length_of(&request).is_some_and(|length| request.len() >= length) {
            return true;
        }
        match stream.read_buf(&mut request).await {
            Ok(0) | Err(_) => return false,
            Ok(_) => {}
        }
    }
}

fn length_of(request: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(request).to_ascii_lowercase();
    let (head, _) = text.split_once("\r\n\r\n")?;
    let body =
        head.lines().find_map(|line| line.strip_prefix("content-length:")).map_or(0, |n| n.trim().parse().unwrap());
    Some(head.len() + 4 + body)
}

fn head(status: u16, length: usize) -> String {
    format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n")
}

async fn send_slowly(stream: &mut TcpStream, beginning: &str) {
    let mut pace = tokio::time::interval(Duration::from_millis(5));
    let mut sent = stream.write_all(beginning.as_bytes()).await;
    while sent.is_ok() {
        pace.tick().await;
        sent = stream.write_all(b" ").await;
    }
}

async fn send_large_body(stream: &mut TcpStream, status: u16, size: usize) -> std::io::Result<()> {
    stream.write_all(head(status, size).as_bytes()).await?;
    for chunk in vec![b'x'; size].chunks(64 * 1024) {
        stream.write_all(chunk).await?;
    }
    Ok(())
}
