//! Fault injection: one fault at each step of a use case. A round trip to Postgres is lost, a call of the store is
//! lost, or the disk under SQLite is full. The answer is the expected one or 503; a retry succeeds; the tables stay
//! consistent, the audit trail is complete, and no effect counts twice.

use std::cell::Cell;
use std::iter::repeat_n;

use axum::Router;

use super::run::Run;
use super::trail;
use crate::harness::broken_wire::BrokenWire;
use crate::harness::fault::{Moment, Plan};
use crate::harness::full_disk::{FullDisk, PLENTY};
use crate::harness::{Engine, TestApp, books};

/// Makes one test per kind of fault from each `async fn name(run: &Run<'_>)` in the calling module.
macro_rules! at_every_step {
    (changes: [$($change:ident),* $(,)?], reads: [$($read:ident),* $(,)?] $(,)?) => {
        mod postgres {
            $crate::outages::faults::at_every_step!(at_every_statement: $($change)* $($read)*);
        }

        mod sqlite {
            $crate::outages::faults::at_every_step!(at_every_call: $($change)* $($read)*);
        }

        mod full_disk {
            $crate::outages::faults::at_every_step!(at_every_write: $($change)*);
        }
    };
    ($driver:ident: $($name:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let test = concat!(module_path!(), "::", stringify!($name));
                $crate::outages::faults::$driver(test, super::$name).await;
            }
        )*
    };
}
pub(super) use at_every_step;

/// More steps than any use case takes.
const STEPS_MAX: usize = 60;

/// The fault to inject.
pub(super) enum Fault {
    /// One step is lost, before it reaches the database or after it took effect.
    Lost(Plan),
    /// A write and all that follow fail because the disk is full.
    Disk(FullDisk),
}

impl Fault {
    pub(super) async fn after(&self, steps: u16, moment: Moment) {
        match self {
            Self::Lost(plan) => plan.break_after(steps.into(), moment),
            Self::Disk(disk) => disk.fill(steps, moment).await,
        }
    }

    /// Removes the fault. Whether it occurred.
    pub(super) async fn end(&self) -> bool {
        match self {
            Self::Lost(plan) => !plan.mend(),
            Self::Disk(disk) => disk.make_room().await,
        }
    }

    /// Whether a request that got 503 may have taken effect.
    pub(super) fn may_take_effect(&self, moment: Moment) -> bool {
        matches!(self, Self::Lost(_)) && moment == Moment::After
    }
}

/// Loses each round trip to Postgres once.
pub(super) async fn at_every_statement(test: &str, use_case: impl AsyncFn(&Run)) {
    if !Engine::Postgres.is_there_for(test).await {
        return;
    }
    let app = TestApp::with(Engine::Postgres, &[]).await;
    let wire = BrokenWire::to(app.database.url()).await;
    let router = app.replica(&[("DATABASE_URL", wire.url()), ("DATABASE_MAX_CONNECTIONS", "1")]).await;
    until_a_run_meets_no_fault(&app, &router, &Fault::Lost(wire.plan().clone()), use_case).await;
}

/// Loses each call of the store on SQLite once.
pub(super) async fn at_every_call(_test: &str, use_case: impl AsyncFn(&Run)) {
    let app = TestApp::with(Engine::Sqlite, &[]).await;
    let plan = Plan::default();
    let router = app.replica_with_broken_store(&plan).await;
    until_a_run_meets_no_fault(&app, &router, &Fault::Lost(plan), use_case).await;
}

/// Fills the disk under SQLite at each write of a row, before and after the row has changed.
pub(super) async fn at_every_write(_test: &str, use_case: impl AsyncFn(&Run)) {
    let app = TestApp::with(Engine::Sqlite, &[]).await;
    let fault = Fault::Disk(FullDisk::under(&app.database).await);
    let router = app.replica(&[]).await;
    until_a_run_meets_no_fault(&app, &router, &fault, use_case).await;
}

/// Runs a use case with the fault at its first step, its second step and so on, until a run has no such step.
async fn until_a_run_meets_no_fault(app: &TestApp, router: &Router, fault: &Fault, use_case: impl AsyncFn(&Run)) {
    for (moment, first_seed) in [(Moment::Before, 0), (Moment::After, 1000)] {
        // The rehearsals run without a fault, to count the writes. Two, because the first also writes the rows that all
        // runs share.
        let rehearsals = if matches!(fault, Fault::Disk(_)) { 2 } else { 0 };
        let mut faults = 0;
        for (seed, passed) in (first_seed..).zip(repeat_n(PLENTY, rehearsals).chain(0..)) {
            let run = Run {
                app,
                acme: app.partner(),
                shaky: app.partner().through(router.clone()),
                fault,
                moment,
                passed,
                hit: Cell::new(false),
                person: format!("person-{seed}"),
                seed,
            };
            use_case(&run).await;
            books::assert_balanced(&app.database).await;
            trail::assert_complete(&app.database).await;
            match (run.hit.get(), passed) {
                (true, _) => faults += 1,
                (false, PLENTY) => {}
                (false, _) => break,
            }
            assert!(faults < STEPS_MAX, "the use case has more than {STEPS_MAX} steps");
        }
        assert!(faults > 0, "no fault occurred");
    }
    trail::assert_verifies(app).await;
}
