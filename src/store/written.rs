//! What becomes of a write that repeats in its conditions what was read before it.

/// What became of a conditional write.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Written<T = ()> {
    /// Everything is committed, with the record.
    Done(T),
    /// Another request has come in between: a condition does not hold any more, and nothing was changed.
    Overtaken,
}

impl<T> Written<T> {
    /// Done if there is something to show for it.
    pub(super) fn if_some(found: Option<T>) -> Self {
        found.map_or(Self::Overtaken, Self::Done)
    }
}

impl Written {
    /// Done if it is true.
    pub(super) fn if_true(done: bool) -> Self {
        if done { Self::Done(()) } else { Self::Overtaken }
    }
}
