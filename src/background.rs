//! Work that no request asks for: counts that settle, rows that are swept away.
//!
//! The lists of it are [`duties`] and [`token_duties`]; a new piece of work is a new line there, and a method of the
//! service or of the tokens that tests call directly. Each runs again and again with some jitter, so that replicas that start together do not work together. A step
//! that fails or panics is tried again at its next turn; the log tells when a run of failures begins and when it ends. When
//! the process stops, a step that runs comes to its end, and those that asked for it run once more.

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

/// Everything that the service does by itself.
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

/// What is done for the check of tokens.
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

/// How often is looked whether the identity provider's keys are stale; the provider is asked only when they are.
const KEYS_INTERVAL: Duration = Duration::from_secs(10);

/// How long an audit event waits to be sealed.
const SEALING_INTERVAL: Duration = Duration::from_secs(1);

/// How often what nobody needs any more is looked for.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_mins(1);

/// Outcomes in the metrics.
const DONE: &str = "done";
const HELD_ELSEWHERE: &str = "held_elsewhere";
const FAILED: &str = "failed";

/// How a step ends.
pub type Outcome = Result<Turn, Box<dyn Error + Send + Sync>>;

type Step<S> = Box<dyn Fn(Arc<S>) -> Pin<Box<dyn Future<Output = Outcome> + Send>> + Send + Sync>;

/// A piece of work on an `S`, and when it is due.
pub struct Duty<S> {
    name: &'static str,
    every: Duration,
    also_at_start: bool,
    also_at_stop: bool,
    step: Step<S>,
}

impl<S> Duty<S> {
    /// Work that is due about once in `every`. Its name stands in logs and metrics.
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

    /// Does it once.
    ///
    /// # Errors
    /// What the step reports.
    pub async fn turn(&self, subject: Arc<S>) -> Outcome {
        (self.step)(subject).await
    }

    /// Runs at once when the process starts: what it learns is needed from the first request on.
    #[must_use]
    pub fn also_at_start(self) -> Self {
        Self { also_at_start: true, ..self }
    }

    /// Runs once more when the process stops: what it does must not wait for the next start.
    #[must_use]
    pub fn also_at_stop(self) -> Self {
        Self { also_at_stop: true, ..self }
    }
}

/// Duties that are being done.
pub struct Background {
    running: TaskTracker,
    stop: CancellationToken,
    entropy: Arc<dyn Entropy>,
}

impl Background {
    /// Does nothing yet.
    #[must_use]
    pub fn new(entropy: Arc<dyn Entropy>) -> Self {
        Self { running: TaskTracker::new(), stop: CancellationToken::new(), entropy }
    }

    /// Begins with these.
    #[must_use]
    pub fn start<S: Send + Sync + 'static>(self, subject: &Arc<S>, duties: Vec<Duty<S>>) -> Self {
        for duty in duties {
            // From the start, so that a rate over the first failure is seen.
            for outcome in [DONE, HELD_ELSEWHERE, FAILED] {
                metrics::counter!("background_runs_total", "task" => duty.name, "outcome" => outcome).absolute(0);
            }
            let run = Run { duty, subject: subject.clone(), entropy: self.entropy.clone(), failing: false };
            self.running.spawn(run.until(self.stop.clone()));
        }
        self
    }

    /// Ends after the last steps. Whoever has a deadline puts it around this.
    pub async fn finish(self) {
        self.stop.cancel();
        self.running.close();
        self.running.wait().await;
    }
}

/// One duty under way.
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

    /// Between three quarters and five quarters of the interval.
    fn pause(&self) -> Duration {
        let [random] = self.entropy.bytes();
        self.duty.every.mul_f64(0.75 + f64::from(random) / 510.0)
    }

    async fn step(&mut self) {
        // A task of its own, so that a panic ends the step and not the duty.
        let result = tokio::spawn((self.duty.step)(self.subject.clone())).await;
        let turn = result.map_err(Stumble::Panic).and_then(|turn| turn.map_err(Stumble::Failure));
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
        // A turn that another replica has says nothing about this one.
        self.failing = match turn {
            Ok(Turn::Done) => false,
            Ok(Turn::HeldElsewhere) => self.failing,
            Err(_) => true,
        };
    }
}

/// Why a step did not do its work.
#[derive(Debug, thiserror::Error)]
enum Stumble {
    #[error(transparent)]
    Failure(Box<dyn Error + Send + Sync>),
    /// The panic itself was told where it happened.
    #[error("the step panicked")]
    Panic(#[source] JoinError),
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    /// A subject that knows how often it was worked on.
    struct Desk {
        steps: AtomicU32,
        done: Semaphore,
    }

    impl Desk {
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

    fn start(desk: &Arc<Desk>, duty: Duty<Desk>) -> Background {
        Background::new(Arc::new(Always(0))).start(desk, vec![duty])
    }

    #[tokio::test]
    async fn work_goes_on_after_failures_and_panics() {
        let desk = Desk::new();
        let stumbling = |desk: Arc<Desk>| async move {
            match desk.step() {
                0 => Err("a failure".into()),
                1 => panic!("a bug"),
                _ => Ok(Turn::Done),
            }
        };
        let background = start(&desk, Duty::new("stumbling", Duration::from_millis(1), stumbling));
        desk.steps(4).await;
        background.finish().await;
    }

    #[tokio::test]
    async fn what_must_not_wait_is_done_at_the_start_and_at_the_stop() {
        let cases = [(duty().also_at_start(), 1), (duty().also_at_stop(), 1), (duty(), 0)];
        for (duty, steps) in cases.into_iter().chain([(duty().also_at_start().also_at_stop(), 2)]) {
            let desk = Desk::new();
            start(&desk, duty).finish().await;
            assert_eq!(desk.steps.load(Ordering::SeqCst), steps);
        }
    }

    #[tokio::test]
    async fn the_stop_waits_for_a_step_that_runs() {
        let desk = Desk::new();
        let slow = |desk: Arc<Desk>| async move {
            desk.step();
            tokio::task::yield_now().await;
            desk.step();
            Ok(Turn::Done)
        };
        let background = start(&desk, Duty::new("slow", Duration::from_millis(1), slow));
        desk.steps(1).await;
        background.finish().await;
        assert_eq!(desk.steps.load(Ordering::SeqCst) % 2, 0);
    }

    #[test]
    fn replicas_do_not_keep_step() {
        for (random, millis) in [(0, 750), (255, 1250)] {
            let run = Run { duty: duty(), subject: Desk::new(), entropy: Arc::new(Always(random)), failing: false };
            assert_eq!(run.pause(), Duration::from_millis(millis));
        }
    }

    /// Not due while a test runs.
    fn duty() -> Duty<Desk> {
        let step = |desk: Arc<Desk>| async move {
            desk.step();
            Ok(Turn::Done)
        };
        Duty::new("rare", Duration::from_secs(1), step)
    }
}
