//! Background tasks, such as sealing the audit trail and housekeeping.
//!
//! The lists are [`duties`] and [`token_duties`]; a new task is an entry there, and a method of the service or of the
//! tokens that tests call directly. Each task runs periodically with jitter, so that replicas that start together do
//! not run it at the same time. A run that fails or panics is retried at the next interval; the log has the first
//! failure and the recovery. At shutdown, running tasks complete, and some run once more.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::BearerTokens;
use crate::entropy::Entropy;
use crate::service::{COUNTING_INTERVAL, SETTLING_INTERVAL, Service, Turn};

/// The background tasks of the service.
#[must_use]
pub fn duties() -> Vec<Duty<Service>> {
    vec![
        Duty::new("sms_conversion", SETTLING_INTERVAL, |service: Arc<Service>| async move {
            service.settle_conversion().await?;
            Ok(Turn::Done)
        })
        .also_at_start()
        .also_at_stop(),
        Duty::new("audit_seal", SEALING_INTERVAL, |service: Arc<Service>| async move {
            service.seal_audit_trail().await?;
            Ok(Turn::Done)
        })
        .also_at_start()
        .also_at_stop(),
        Duty::new("device_count", COUNTING_INTERVAL, |service: Arc<Service>| async move {
            service.count_devices().await?;
            Ok(Turn::Done)
        })
        .also_at_start(),
        Duty::new("housekeeping", HOUSEKEEPING_INTERVAL, |service: Arc<Service>| async move {
            Ok(service.keep_house().await?)
        }),
    ]
}

/// The background tasks of token verification.
#[must_use]
pub fn token_duties() -> Vec<Duty<BearerTokens>> {
    vec![
        Duty::new("identity_provider_keys", KEYS_INTERVAL, |tokens: Arc<BearerTokens>| async move {
            tokens.refresh_keys().await?;
            Ok(Turn::Done)
        })
        .also_at_start(),
    ]
}

/// Runs every background task of the service once, one after the other. While another run of a task holds its lease, waits
/// for it; a lease that ended by an advance of the clock is taken over.
///
/// # Errors
/// When a task fails, or its lease is held for longer than a second. The tasks before it have run.
pub async fn run_once(service: &Arc<Service>) -> Result<(), RunError> {
    for duty in duties() {
        let mut tries = 0..LEASE_TRIES;
        while duty.turn(service.clone()).await.map_err(RunError::Failure)? == Turn::HeldElsewhere {
            tries.next().ok_or(RunError::Held)?;
            tokio::time::sleep(LEASE_PAUSE).await;
        }
    }
    Ok(())
}

/// How often [`run_once`] tries to get a lease, and the pause between.
const LEASE_TRIES: u32 = 50;
const LEASE_PAUSE: Duration = Duration::from_millis(20);

/// How often the identity provider's keys are checked for staleness; they are fetched only if stale.
const KEYS_INTERVAL: Duration = Duration::from_secs(10);

/// How often audit events are sealed.
const SEALING_INTERVAL: Duration = Duration::from_secs(1);

/// How often housekeeping runs.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_mins(1);

/// The label values of outcomes in the metrics.
const DONE: &str = "done";
const HELD_ELSEWHERE: &str = "held_elsewhere";
const FAILED: &str = "failed";

/// The result of one run.
pub type Outcome = Result<Turn, Box<dyn Error + Send + Sync>>;

type Step<S> = Box<dyn Fn(Arc<S>) -> Pin<Box<dyn Future<Output = Outcome> + Send>> + Send + Sync>;

/// A background task on an `S`, with its interval.
pub struct Duty<S> {
    name: &'static str,
    every: Duration,
    also_at_start: bool,
    also_at_stop: bool,
    step: Step<S>,
}

impl<S> Duty<S> {
    /// A task that runs about once per `every`. `name` identifies it in logs and metrics.
    pub fn new<F>(name: &'static str, every: Duration, step: impl Fn(Arc<S>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        Self {
            name,
            every,
            also_at_start: false,
            also_at_stop: false,
            step: Box::new(move |subject| Box::pin(step(subject))),
        }
    }

    /// Runs the task once.
    ///
    /// # Errors
    /// The error of the task.
    pub async fn turn(&self, subject: Arc<S>) -> Outcome {
        (self.step)(subject).await
    }

    /// Runs the task at the start of the process too, for results that the first request needs.
    #[must_use]
    pub fn also_at_start(self) -> Self {
        Self { also_at_start: true, ..self }
    }

    /// Runs the task once more at shutdown, for work that must not wait for the next start.
    #[must_use]
    pub fn also_at_stop(self) -> Self {
        Self { also_at_stop: true, ..self }
    }
}

/// The running background tasks.
pub struct Background {
    running: TaskTracker,
    stop: CancellationToken,
    entropy: Arc<dyn Entropy>,
}

impl Background {
    /// Starts no task yet.
    #[must_use]
    pub fn new(entropy: Arc<dyn Entropy>) -> Self {
        Self { running: TaskTracker::new(), stop: CancellationToken::new(), entropy }
    }

    /// Starts these tasks.
    #[must_use]
    pub fn start<S: Send + Sync + 'static>(self, subject: &Arc<S>, duties: Vec<Duty<S>>) -> Self {
        for duty in duties {
            // Initialised to zero, so that `rate` includes the first failure.
            for outcome in [DONE, HELD_ELSEWHERE, FAILED] {
                metrics::counter!("background_runs_total", "task" => duty.name, "outcome" => outcome).absolute(0);
            }
            let run = Run { duty, subject: subject.clone(), entropy: self.entropy.clone(), failing: false };
            self.running.spawn(run.until(self.stop.clone()));
        }
        self
    }

    /// Stops all tasks and waits for their last runs. The caller sets the timeout.
    pub async fn finish(self) {
        self.stop.cancel();
        self.running.close();
        self.running.wait().await;
    }
}

/// A running task.
struct Run<S> {
    duty: Duty<S>,
    subject: Arc<S>,
    entropy: Arc<dyn Entropy>,
    failing: bool,
}

impl<S: Send + Sync + 'static> Run<S> {
    async fn until(mut self, stop: CancellationToken) {
        if self.duty.also_at_start {
            self.step().await;
        }
        while tokio::time::timeout(self.pause(), stop.cancelled()).await.is_err() {
            self.step().await;
        }
        if self.duty.also_at_stop {
            self.step().await;
        }
    }

    /// The interval with jitter: 75 % to 125 %.
    fn pause(&self) -> Duration {
        let [random] = self.entropy.bytes();
        self.duty.every.mul_f64(0.75 + f64::from(random) / 510.0)
    }

    async fn step(&mut self) {
        // A separate tokio task, so that a panic ends only this run.
        let result = tokio::spawn((self.duty.step)(self.subject.clone())).await;
        let turn = result.map_err(RunError::Panic).and_then(|turn| turn.map_err(RunError::Failure));
        let task = self.duty.name;
        let outcome = match &turn {
            Ok(Turn::Done) => DONE,
            Ok(Turn::HeldElsewhere) => HELD_ELSEWHERE,
            Err(_) => FAILED,
        };
        metrics::counter!("background_runs_total", "task" => task, "outcome" => outcome).increment(1);
        match &turn {
            Err(failure) if !self.failing => {
                let cause: &(dyn Error + 'static) = failure;
                tracing::warn!(task, cause, "background task failed, will retry");
            }
            Ok(Turn::Done) if self.failing => tracing::info!(task, "background task recovered"),
            _ => {}
        }
        // A run that was skipped because another replica holds the lease is neither a success nor a failure.
        self.failing = match turn {
            Ok(Turn::Done) => false,
            Ok(Turn::HeldElsewhere) => self.failing,
            Err(_) => true,
        };
    }
}

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The error of the task.
    #[error(transparent)]
    Failure(Box<dyn Error + Send + Sync>),
    /// The panic hook has logged the panic itself.
    #[error("the task panicked")]
    Panic(#[source] JoinError),
    /// The lease of the task was not released.
    #[error("another run of the task holds its lease")]
    Held,
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    /// A subject that counts the runs.
    struct Counter {
        steps: AtomicU32,
        done: Semaphore,
    }

    impl Counter {
        fn new() -> Arc<Self> {
            Arc::new(Self { steps: AtomicU32::new(0), done: Semaphore::new(0) })
        }

        fn step(&self) -> u32 {
            self.done.add_permits(1);
            self.steps.fetch_add(1, Ordering::SeqCst)
        }

        async fn steps(&self, number: u32) {
            self.done.acquire_many(number).await.unwrap().forget();
        }
    }

    struct Always(u8);

    impl Entropy for Always {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0);
        }
    }

    fn start(counter: &Arc<Counter>, duty: Duty<Counter>) -> Background {
        Background::new(Arc::new(Always(0))).start(counter, vec![duty])
    }

    #[tokio::test]
    async fn a_task_is_retried_after_failures_and_panics() {
        let counter = Counter::new();
        let failing = |counter: Arc<Counter>| async move {
            match counter.step() {
                0 => Err("a failure".into()),
                1 => panic!("a bug"),
                _ => Ok(Turn::Done),
            }
        };
        let background = start(&counter, Duty::new("failing", Duration::from_millis(1), failing));
        counter.steps(4).await;
        background.finish().await;
    }

    #[tokio::test]
    async fn a_task_runs_at_the_start_and_at_shutdown_if_asked_to() {
        let cases = [(duty().also_at_start(), 1), (duty().also_at_stop(), 1), (duty(), 0)];
        for (duty, steps) in cases.into_iter().chain([(duty().also_at_start().also_at_stop(), 2)]) {
            let counter = Counter::new();
            start(&counter, duty).finish().await;
            assert_eq!(counter.steps.load(Ordering::SeqCst), steps);
        }
    }

    #[tokio::test]
    async fn shutdown_waits_for_a_running_task() {
        let counter = Counter::new();
        let slow = |counter: Arc<Counter>| async move {
            counter.step();
            tokio::task::yield_now().await;
            counter.step();
            Ok(Turn::Done)
        };
        let background = start(&counter, Duty::new("slow", Duration::from_millis(1), slow));
        counter.steps(1).await;
        background.finish().await;
        assert_eq!(counter.steps.load(Ordering::SeqCst) % 2, 0);
    }

    #[test]
    fn the_interval_has_jitter_of_a_quarter() {
        for (random, millis) in [(0, 750), (255, 1250)] {
            let run = Run { duty: duty(), subject: Counter::new(), entropy: Arc::new(Always(random)), failing: false };
            assert_eq!(run.pause(), Duration::from_millis(millis));
        }
    }

    /// A task that is not due while a test runs.
    fn duty() -> Duty<Counter> {
        let step = |counter: Arc<Counter>| async move {
            counter.step();
            Ok(Turn::Done)
        };
        Duty::new("rare", Duration::from_secs(1), step)
    }
}
