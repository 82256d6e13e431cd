//! What goes wrong once at each step of a use case: a round trip to Postgres is lost, a call of the store is lost, or the
//! disk under SQLite is full. The answer is the right one or 503; the same request repeated ends where it should; the books
//! balance, the trail tells what happened, and nothing counts twice.

use std::cell::Cell;
use std::iter::repeat_n;

use axum::Router;

use super::run::Run;
use super::trail;
use crate::harness::broken_wire::BrokenWire;
use crate::harness::fault::{Moment, Plan};
use crate::harness::full_disk::{FullDisk, PLENTY};
use crate::harness::{Engine, TestApp, books};

/// Makes a test with each fault out of each `async fn name(run: &Run<'_>)` in this module.
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

/// What goes wrong.
pub(super) enum Fault {
    /// One step is lost: before the database hears of it, or after it took effect.
    Lost(Plan),
    /// A write finds no room, and so does everything after it.
    Disk(FullDisk),
}

impl Fault {
    pub(super) async fn after(&self, steps: u16, moment: Moment) {
        match self {
            Self::Lost(plan) => plan.break_after(steps.into(), moment),
            Self::Disk(disk) => disk.fill(steps, moment).await,
        }
    }

    /// Ends it. Whether it was met.
    pub(super) async fn is_over(&self) -> bool {
        match self {
            Self::Lost(plan) => !plan.mend(),
            Self::Disk(disk) => disk.make_room().await,
        }
    }

    /// Whether what was answered 503 may have happened.
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
    until_none_is_met(&app, &router, &Fault::Lost(wire.plan().clone()), use_case).await;
}

/// Loses each call of the store on SQLite once.
pub(super) async fn at_every_call(_test: &str, use_case: impl AsyncFn(&Run)) {
    let app = TestApp::with(Engine::Sqlite, &[]).await;
    let plan = Plan::default();
    let router = app.replica_with_broken_store(&plan).await;
    until_none_is_met(&app, &router, &Fault::Lost(plan), use_case).await;
}

/// Has the disk under SQLite run full at each write of a row, before and after the row has changed.
pub(super) async fn at_every_write(_test: &str, use_case: impl AsyncFn(&Run)) {
    let app = TestApp::with(Engine::Sqlite, &[]).await;
    let fault = Fault::Disk(FullDisk::under(&app.database).await);
    let router = app.replica(&[]).await;
    until_none_is_met(&app, &router, &fault, use_case).await;
}

/// Runs a use case until a run meets no fault any more, because all its steps have had theirs.
async fn until_none_is_met(app: &TestApp, router: &Router, fault: &Fault, use_case: impl AsyncFn(&Run)) {
    for (moment, first_seed) in [(Moment::Before, 0), (Moment::After, 1000)] {
        // With room for everything, to know what everything is. Twice: rows that runs share are only there from then on.
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
                met: Cell::new(false),
                person: format!("person-{seed}"),
                seed,
            };
            use_case(&run).await;
            books::assert_balanced(&app.database).await;
            trail::assert_tells_all(&app.database).await;
            match (run.met.get(), passed) {
                (true, _) => faults += 1,
                (false, PLENTY) => {}
                (false, _) => break,
            }
            assert!(faults < STEPS_MAX, "the use case has no end");
        }
        assert!(faults > 0, "nothing ever went wrong");
    }
    trail::assert_holds(app).await;
}
