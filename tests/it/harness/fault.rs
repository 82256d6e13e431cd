//! One fault, at a step that a test names: what a broken wire and a broken store go by.

use std::sync::{Arc, Mutex};

/// How a step is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// The connection is cut, and the server never hears of the step.
    Before,
    /// The connection is cut when the server has done its part, and the client never hears of that.
    After,
    /// Nothing comes through any more, as when a network drops what it should carry; both sides keep their end open.
    Silence,
}

/// What is to happen; nothing at first. Copies are the same plan.
#[derive(Clone, Default)]
pub(crate) struct Plan(Arc<Mutex<Option<(usize, Moment)>>>);

impl Plan {
    /// Breaks once, after so many more steps.
    pub(crate) fn break_after(&self, steps: usize, moment: Moment) {
        *self.0.lock().expect("nobody panics while planning") = Some((steps, moment));
    }

    /// Calls off what is planned. False if it has happened already.
    pub(crate) fn mend(&self) -> bool {
        self.0.lock().expect("nobody panics while planning").take().is_some()
    }

    /// What happens to the step that begins now.
    pub(super) fn begin(&self) -> Option<Moment> {
        let mut plan = self.0.lock().expect("nobody panics while planning");
        let (left, moment) = (*plan)?;
        *plan = left.checked_sub(1).map(|left| (left, moment));
        (left == 0).then_some(moment)
    }
}
