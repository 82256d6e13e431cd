//! An address that moves from one Postgres server to another, as a virtual address or a DNS name does in a failover.
//!
//! A move affects new connections only. Existing ones stay with their server, even if it never answers again.

use std::sync::{Arc, Mutex};

use tokio::io::copy_bidirectional;

use super::wire;

pub(crate) struct VirtualAddress {
    url: String,
    server: Arc<Mutex<(String, u16)>>,
}

impl VirtualAddress {
    /// An address for the server of this URL.
    pub(crate) async fn of(url: &str) -> Self {
        let (listener, url, server) = wire::listen_for(url).await;
        let server = Arc::new(Mutex::new(server));
        let current = server.clone();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let server = current.lock().expect("the lock is not poisoned").clone();
                tokio::spawn(async move {
                    // If the server refuses the connection, the client's connection closes.
                    let mut server = wire::connect(&client, &server).await?;
                    copy_bidirectional(&mut client, &mut server).await
                });
            }
        });
        Self { url, server }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Moves the address to the server of this URL.
    pub(crate) fn move_to(&self, url: &str) {
        *self.server.lock().expect("the lock is not poisoned") = wire::server_of(url);
    }
}
