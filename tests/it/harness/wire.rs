//! A proxy between the service and Postgres that reads the frontend's messages and counts round trips.
//!
//! A Sync (`S`) after an Execute (`E`), or a simple Query (`Q`), is a round trip that a request waits for (Postgres
//! manual, "Message Flow"). A Sync alone is the pool checking a returned connection; no request waits for it. TLS must
//! be off.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

pub(crate) struct Wire {
    url: String,
    round_trips: Arc<AtomicUsize>,
}

impl Wire {
    /// A proxy to the server of this URL.
    pub(crate) async fn to(url: &str) -> Self {
        let (listener, url, server) = listen_for(url).await;
        let round_trips = Arc::new(AtomicUsize::new(0));
        let counter = round_trips.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = connect(&client, &server).await.expect("the server is reachable");
                let ((from_client, mut to_client), (mut from_server, to_server)) =
                    (client.into_split(), server.into_split());
                tokio::spawn(forward(from_client, to_server, counter.clone()));
                tokio::spawn(async move { copy(&mut from_server, &mut to_client).await });
            }
        });
        Self { url, round_trips }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The number of round trips begun since the last call.
    pub(crate) fn round_trips(&self) -> usize {
        self.round_trips.swap(0, Ordering::SeqCst)
    }
}

/// Listens in place of the server of this URL. Returns the listener, its URL, and host and port of the server.
pub(super) async fn listen_for(url: &str) -> (TcpListener, String, (String, u16)) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let mut here = reqwest::Url::parse(url).expect("a Postgres URL");
    here.set_host(Some("127.0.0.1")).expect("a host");
    here.set_port(Some(listener.local_addr().expect("a bound address").port())).expect("a port");
    here.set_query(Some("sslmode=disable"));
    (listener, here.into(), server_of(url))
}

/// Host and port of a Postgres URL.
pub(super) fn server_of(url: &str) -> (String, u16) {
    let url = reqwest::Url::parse(url).expect("a Postgres URL");
    (url.host_str().expect("a host").to_owned(), url.port().unwrap_or(5432))
}

/// Connects to the server for a client, with Nagle's algorithm off on both sides: it would add 40 ms to each round
/// trip.
pub(super) async fn connect(client: &TcpStream, server: &(String, u16)) -> io::Result<TcpStream> {
    client.set_nodelay(true)?;
    let server = TcpStream::connect(server).await?;
    server.set_nodelay(true)?;
    Ok(server)
}

async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, round_trips: Arc<AtomicUsize>) -> io::Result<()> {
    pass_startup(&mut from, &mut to).await?;
    let mut executed = false;
    loop {
        let (kind, body) = read_message(&mut from).await?;
        executed |= kind == b'E';
        if kind == b'Q' || (kind == b'S' && executed) {
            round_trips.fetch_add(1, Ordering::SeqCst);
            executed = false;
        }
        write_message(&mut to, kind, &body).await?;
    }
}

/// Forwards the startup message of a client, which has no type byte.
pub(super) async fn pass_startup(from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf) -> io::Result<()> {
    let length = from.read_u32().await?;
    let mut body = vec![0; length as usize - 4];
    from.read_exact(&mut body).await?;
    to.write_u32(length).await?;
    to.write_all(&body).await
}

/// Reads a later message of a client or a server: its type and its content.
pub(super) async fn read_message(from: &mut OwnedReadHalf) -> io::Result<(u8, Vec<u8>)> {
    let kind = from.read_u8().await?;
    let mut body = vec![0; from.read_u32().await? as usize - 4];
    from.read_exact(&mut body).await?;
    Ok((kind, body))
}

/// Writes such a message.
pub(super) async fn write_message(to: &mut OwnedWriteHalf, kind: u8, body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(body.len() + 4).map_err(io::Error::other)?;
    to.write_all(&[&[kind], &length.to_be_bytes()[..], body].concat()).await
}
