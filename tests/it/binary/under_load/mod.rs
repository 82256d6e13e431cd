//! Replicas under mixed load, and what the database must contain afterwards: killed at random moments, or upgraded one
//! after the other.
//!
//! `SEED` sets the random choices. Scheduling is not reproducible, so a seed repeats the choices and not the whole run.

mod acknowledged;
mod caller;
mod consistency;
mod killed;
mod processes;
mod sms_gateway;
mod story;
mod upgrade;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::{JoinError, JoinSet};

use acknowledged::{Acknowledged, Figures};
use caller::Caller;
use processes::Processes;
use sms_gateway::SmsGateway;

/// Concurrent clients.
const CALLERS: u32 = 8;

/// Clients that send requests until they are stopped.
struct Load {
    enough: Arc<AtomicBool>,
    callers: JoinSet<(Vec<Acknowledged>, Figures)>,
}

impl Load {
    /// Starts the clients. With `reads_and_codes` they also read, log in by SMS and confirm numbers.
    fn start(processes: &Arc<Processes>, gateway: &Arc<SmsGateway>, seeds: &mut StdRng, reads_and_codes: bool) -> Self {
        let enough = Arc::new(AtomicBool::new(false));
        let mut callers = JoinSet::new();
        for number in 0..CALLERS {
            let random = StdRng::seed_from_u64(seeds.random());
            let mut caller = Caller::new(number, processes.clone(), gateway.clone(), random);
            let enough = enough.clone();
            callers.spawn(async move {
                let mut accounts = Vec::new();
                while !enough.load(Ordering::Relaxed) {
                    accounts.push(caller.story().await);
                    if reads_and_codes {
                        accounts.push(caller.number_story().await);
                    }
                }
                (accounts, caller.figures)
            });
        }
        Self { enough, callers }
    }

    /// Does `work` while the clients send requests. Panics when one of them gets a wrong answer.
    async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::select! {
            done = work => done,
            fault = self.fault() => panic!("a client got a wrong answer: {fault}"),
        }
    }

    /// Waits until a client gets a wrong answer.
    async fn fault(&mut self) -> JoinError {
        let ended = self.callers.join_next().await.expect("a client ends only when it is told to");
        ended.map(drop).expect_err("a client ends only when it is told to")
    }

    /// Lets each client complete its current story.
    async fn stop(mut self) -> (Vec<Acknowledged>, Figures) {
        self.enough.store(true, Ordering::Relaxed);
        let (mut accounts, mut figures) = (Vec::new(), Figures::default());
        while let Some(ended) = self.callers.join_next().await {
            let (more, counted) = ended.expect("every answer is right");
            accounts.extend(more);
            figures.add(counted);
        }
        (accounts, figures)
    }
}
