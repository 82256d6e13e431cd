//! A server that misbehaves below HTTP, where a well-mannered double cannot.
//!
//! It takes connections on a free loopback port until it is dropped, and treats each as [`Manners`] say.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

/// What happens to a connection.
#[derive(Clone, Debug)]
pub(crate) enum Manners {
    /// Closed without a look at the request.
    HangUp,
    /// Closed once the whole request is there.
    HangUpAfterRequest,
    /// Kept open in silence.
    Silent,
    /// Answered with these very bytes, then closed.
    Say(Vec<u8>),
    /// Answered with a head of this status and a body that comes one byte at a time and never ends.
    Drip(u16),
    /// Answered with a head of this status and a body of this many bytes that are no JSON.
    Flood(u16, usize),
}

/// The server.
pub(crate) struct RudeServer {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl RudeServer {
    /// Starts a server.
    pub(crate) async fn start(manners: Manners) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let seen = requests.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(treat(stream, manners.clone(), seen.clone()));
            }
        });
        Self { address, requests, task }
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many whole requests it has read.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl Drop for RudeServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An address that refuses connections for as long as it lives: the port is taken, and nobody listens.
pub(crate) struct ClosedPort(TcpSocket);

impl ClosedPort {
    /// Takes a free port.
    pub(crate) fn take() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Self(socket)
    }

    /// The address.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().unwrap())
    }
}

async fn treat(mut stream: TcpStream, manners: Manners, requests: Arc<AtomicUsize>) {
    if let Manners::HangUp = manners {
        return;
    }
    if !read_request(&mut stream).await {
        return;
    }
    requests.fetch_add(1, Ordering::SeqCst);
    match manners {
        Manners::HangUp | Manners::HangUpAfterRequest => {}
        Manners::Silent => std::future::pending().await,
        // A client that has heard enough may be gone before the end.
        Manners::Say(bytes) => drop(stream.write_all(&bytes).await),
        Manners::Drip(status) => drip(&mut stream, status).await,
        Manners::Flood(status, size) => drop(flood(&mut stream, status, size).await),
    }
}

/// Reads a head and as much body as it announces; false when the client leaves before.
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

async fn drip(stream: &mut TcpStream, status: u16) {
    let mut pace = tokio::time::interval(Duration::from_millis(5));
    let mut sent = stream.write_all(head(status, 1 << 20).as_bytes()).await;
    while sent.is_ok() {
        pace.tick().await;
        sent = stream.write_all(b" ").await;
    }
}

async fn flood(stream: &mut TcpStream, status: u16, size: usize) -> std::io::Result<()> {
    stream.write_all(head(status, size).as_bytes()).await?;
    for chunk in vec![b'x'; size].chunks(64 * 1024) {
        stream.write_all(chunk).await?;
    }
    Ok(())
}
