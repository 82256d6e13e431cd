//! The plan of one fault at a given step, for `broken_wire` and `broken_store`.

use std::sync::{Arc, Mutex};

/// The kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// The connection is cut before the server receives the step.
    Before,
    /// The connection is cut after the server has executed the step, before the client has the result.
    After,
    /// No data passes any more, as when a network drops all packets; both sides keep their end open.
    Silence,
}

/// The planned fault, if any. Clones share the plan.
#[derive(Clone, Default)]
pub(crate) struct Plan(Arc<Mutex<Option<(usize, Moment)>>>);

impl Plan {
    /// Plans one fault, after `steps` more steps.
    pub(crate) fn break_after(&self, steps: usize, moment: Moment) {
        *self.0.lock().expect("the lock is not poisoned") = Some((steps, moment));
    }

    /// Cancels the planned fault. False if it has happened already.
    pub(crate) fn mend(&self) -> bool {
        self.0.lock().expect("the lock is not poisoned").take().is_some()
    }

    /// The fault of the step that begins now, if any.
    pub(super) fn begin(&self) -> Option<Moment> {
        let mut plan = self.0.lock().expect("the lock is not poisoned");
        let (left, moment) = (*plan)?;
        *plan = left.checked_sub(1).map(|left| (left, moment));
        (left == 0).then_some(moment)
    }
}
