//! A wire to Postgres that breaks at the round trip that a test names: before the server hears of it, after it has done
//! what it was asked and before the client hears of that, or so that neither side learns of the break.

use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::fault::{Moment, Plan};
use super::wire;

/// Its steps are round trips.
pub(crate) struct BrokenWire {
    url: String,
    plan: Plan,
}

impl BrokenWire {
    /// A wire to the server of this URL, without a fault so far.
    pub(crate) async fn to(url: &str) -> Self {
        let (listener, url, server) = wire::listen_for(url).await;
        let plan = Plan::default();
        let shared = plan.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = wire::connect(&client, &server).await.expect("the server is there");
                let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
                let plan = shared.clone();
                tokio::spawn(async move {
                    let deaf = AtomicBool::new(false);
                    // When one direction ends, so does the other.
                    tokio::select! {
                        _ = ask(from_client, to_server, &plan, &deaf) => {}
                        _ = answer(from_server, to_client, &deaf) => {}
                    }
                });
            }
        });
        Self { url, plan }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }
}

/// Passes on what the client asks, until a fault.
async fn ask(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, plan: &Plan, deaf: &AtomicBool) -> std::io::Result<()> {
    wire::pass_startup(&mut from, &mut to).await?;
    let mut held = Vec::new();
    loop {
        let (kind, body) = wire::read_message(&mut from).await?;
        // What a client sends until its Sync goes out at once, and is lost at once.
        if matches!(kind, b'P' | b'B' | b'D' | b'E' | b'C') {
            held.push((kind, body));
            continue;
        }
        // A Sync alone is the pool trying a connection.
        if kind == b'Q' || (kind == b'S' && !held.is_empty()) {
            match plan.begin() {
                Some(Moment::Before) => return Ok(()),
                Some(Moment::Silence) => pending().await,
                Some(Moment::After) => deaf.store(true, Ordering::SeqCst),
                None => {}
            }
        }
        held.push((kind, body));
        for (kind, body) in held.drain(..) {
            wire::write_message(&mut to, kind, &body).await?;
        }
    }
}

/// Passes on what the server answers; what comes after a fault only up to its end, and to nobody.
async fn answer(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, deaf: &AtomicBool) -> std::io::Result<()> {
    loop {
        let (kind, body) = wire::read_message(&mut from).await?;
        match (deaf.load(Ordering::SeqCst), kind) {
            (false, _) => wire::write_message(&mut to, kind, &body).await?,
            // ReadyForQuery: the transaction, if there was one, has ended.
            (true, b'Z') => return Ok(()),
            (true, _) => {}
        }
    }
}
