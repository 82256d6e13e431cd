//! Slow, silent and very many clients, against the executable.

mod idle_connections;
mod large_bodies;
mod metrics_listener;
mod streams;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::harness::Service;

/// A raw TCP connection.
struct Wire(TcpStream);

impl Wire {
    async fn to(service: &Service) -> Self {
        Self::to_address(service.address()).await
    }

    async fn to_address(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the service listens");
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    async fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.write_all(bytes).await
    }

    /// Reads until the service closes the connection, and returns how long that took.
    async fn until_closed(&mut self, patience: Duration) -> (String, Duration) {
        let started = Instant::now();
        let bytes = self.bytes_until_closed(patience).await;
        (String::from_utf8_lossy(&bytes).into_owned(), started.elapsed())
    }

    async fn bytes_until_closed(&mut self, patience: Duration) -> Vec<u8> {
        let mut bytes = Vec::new();
        // A reset also ends the connection.
        let end = timeout(patience, self.0.read_to_end(&mut bytes)).await;
        assert!(end.is_ok(), "still open after {patience:?}, received {:?}", String::from_utf8_lossy(&bytes));
        bytes
    }

    /// Waits until these bytes were received.
    async fn until_received(&mut self, wanted: &[u8], patience: Duration) {
        let (mut said, mut buffer) = (Vec::new(), [0; 1024]);
        let wait = async {
            while !said.windows(wanted.len()).any(|window| window == wanted) {
                let length = self.0.read(&mut buffer).await.expect("the connection is open");
                assert_ne!(length, 0, "closed, received {said:?}");
                said.extend_from_slice(&buffer[..length]);
            }
        };
        timeout(patience, wait).await.expect("the service answers");
    }

    /// Sends one byte at a time until the connection is closed; returns what was received, and how long it took.
    async fn drip(&mut self, byte: u8, every: Duration, patience: Duration) -> (String, Duration) {
        let (mut said, started) = (Vec::new(), Instant::now());
        let mut ticks = tokio::time::interval(every);
        let (mut reader, mut writer) = self.0.split();
        let mut buffer = [0; 1024];
        let drip = async {
            loop {
                tokio::select! {
                    _ = ticks.tick() => if writer.write_all(&[byte]).await.is_err() { break },
                    read = reader.read(&mut buffer) => match read {
                        Ok(0) | Err(_) => break,
                        Ok(length) => said.extend_from_slice(&buffer[..length]),
                    },
                }
            }
        };
        let end = timeout(patience, drip).await;
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(end.is_ok(), "still open after {patience:?}, received {said:?}");
        (said, started.elapsed())
    }
}

/// The status of a raw answer.
fn status(answer: &str) -> Option<u16> {
    answer.strip_prefix("HTTP/1.1 ")?.split(' ').next()?.parse().ok()
}
