//! A proxy to Postgres that fails at the round trip that a test names: before the server receives it, after the server
//! has executed it and before the client has the result, or silently, so that both sides keep their connection open.

use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::fault::{Moment, Plan};
use super::wire;

/// A step of the plan is a round trip.
pub(crate) struct BrokenWire {
    url: String,
    plan: Plan,
}

impl BrokenWire {
    /// A proxy to the server of this URL, without a planned fault.
    pub(crate) async fn to(url: &str) -> Self {
        let (listener, url, server) = wire::listen_for(url).await;
        let plan = Plan::default();
        let shared = plan.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = wire::connect(&client, &server).await.expect("the server is reachable");
                let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
                let plan = shared.clone();
                tokio::spawn(async move {
                    let discard = AtomicBool::new(false);
                    // When one direction ends, so does the other.
                    tokio::select! {
                        _ = forward_requests(from_client, to_server, &plan, &discard) => {}
                        _ = forward_answers(from_server, to_client, &discard) => {}
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

/// Forwards the client's messages until a fault.
async fn forward_requests(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    plan: &Plan,
    discard: &AtomicBool,
) -> std::io::Result<()> {
    wire::pass_startup(&mut from, &mut to).await?;
    let mut held = Vec::new();
    loop {
        let (kind, body) = wire::read_message(&mut from).await?;
        // Messages until a Sync are sent together, and are lost together.
        if matches!(kind, b'P' | b'B' | b'D' | b'E' | b'C') {
            held.push((kind, body));
            continue;
        }
        // A Sync alone is the pool checking a connection.
        if kind == b'Q' || (kind == b'S' && !held.is_empty()) {
            match plan.begin() {
                Some(Moment::Before) => return Ok(()),
                Some(Moment::Silence) => pending().await,
                Some(Moment::After) => discard.store(true, Ordering::SeqCst),
                None => {}
            }
        }
        held.push((kind, body));
        for (kind, body) in held.drain(..) {
            wire::write_message(&mut to, kind, &body).await?;
        }
    }
}

/// Forwards the server's messages. After a fault it discards them and ends with the transaction.
async fn forward_answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, discard: &AtomicBool) -> std::io::Result<()> {
    loop {
        let (kind, body) = wire::read_message(&mut from).await?;
        match (discard.load(Ordering::SeqCst), kind) {
            (false, _) => wire::write_message(&mut to, kind, &body).await?,
            // ReadyForQuery: the transaction, if there was one, has ended.
            (true, b'Z') => return Ok(()),
            (true, _) => {}
        }
    }
}
