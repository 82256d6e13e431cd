//! The pure parts of the service, which need no socket and no database, each as a repeatable case.
//!
//! `benches/pure.rs` measures their time, `benches/instructions.rs` counts their instructions, and the integration
//! tests run each once. Every case checks its result, so that a wrong result cannot count as fast.

mod approvals;
mod canned_store;
pub(crate) mod crypto;
mod edge;
mod requests;
mod traces;
mod world;

use std::hint::black_box;
use std::rc::Rc;

/// A repeatable operation with a check of its result.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    comes_out_right: Box<dyn Fn() -> bool>,
    repeat: Box<dyn Fn(u64)>,
}

impl Case {
    fn new<T: 'static>(
        name: &'static str,
        run: impl Fn() -> T + 'static,
        is_right: impl Fn(T) -> bool + 'static,
    ) -> Self {
        let run = Rc::new(run);
        let once = run.clone();
        Self {
            name,
            comes_out_right: Box::new(move || is_right(once())),
            repeat: Box::new(move |times| {
                for _ in 0..times {
                    black_box(run());
                }
            }),
        }
    }

    /// Runs it once and checks the result.
    pub(crate) fn comes_out_right(&self) -> bool {
        (self.comes_out_right)()
    }

    /// Runs it this many times without a check.
    pub(crate) fn repeat(&self, times: u64) {
        (self.repeat)(times);
    }
}

/// All cases, in a fixed order.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = crypto::cases();
    cases.extend(approvals::cases());
    cases.extend(requests::cases());
    cases.extend(traces::cases());
    cases
}
