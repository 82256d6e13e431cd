//! A wire to Postgres that breaks at the round trip that a test names: before the server hears of it, after it has done
//! what it was asked and before the client hears of that, or so that neither side learns of the break.

use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::wire;

/// How the wire breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// The connection is cut, and the server never hears of the round trip.
    Before,
    /// The connection is cut when the server has done its part, and the client never hears of that.
    After,
    /// Nothing comes through any more, as when a network drops what it should carry; both sides keep their end open.
    Silence,
}

#[derive(Default)]
struct Plan {
    /// How many round trips pass unharmed, and what happens to the one after them.
    next: Option<(usize, Moment)>,
}

impl Plan {
    /// What happens to the round trip that begins now.
    fn begin(&mut self) -> Option<Moment> {
        let (left, moment) = self.next?;
        self.next = left.checked_sub(1).map(|left| (left, moment));
        (left == 0).then_some(moment)
    }
}

pub(crate) struct BrokenWire {
    url: String,
    plan: Arc<Mutex<Plan>>,
}

impl BrokenWire {
    /// A wire to the server of this URL, without a fault so far.
    pub(crate) async fn to(url: &str) -> Self {
        let (listener, url, server) = wire::listen_for(url).await;
        let plan = Arc::new(Mutex::new(Plan::default()));
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

    /// Breaks once, after so many more round trips.
    pub(crate) fn break_after(&self, round_trips: usize, moment: Moment) {
        self.plan.lock().expect("nobody panics while planning").next = Some((round_trips, moment));
    }

    /// Calls off what is planned. False if it has happened already.
    pub(crate) fn mend(&self) -> bool {
        self.plan.lock().expect("nobody panics while planning").next.take().is_some()
    }
}

/// Passes on what the client asks, until a fault.
async fn ask(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    plan: &Mutex<Plan>,
    deaf: &AtomicBool,
) -> std::io::Result<()> {
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
            let fault = plan.lock().expect("nobody panics while planning").begin();
            match fault {
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
