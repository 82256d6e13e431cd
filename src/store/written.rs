//! The result of a write whose conditions repeat an earlier read.

/// The result of a conditional write.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Written<T = ()> {
    /// Committed, with the record.
    Done(T),
    /// Nothing was changed: a concurrent request has invalidated a condition.
    Overtaken,
}

impl<T> Written<T> {
    /// `Done` if the write returned a row.
    pub(super) fn if_some(found: Option<T>) -> Self {
        found.map_or(Self::Overtaken, Self::Done)
    }
}

impl Written {
    /// `Done` if true.
    pub(super) fn if_true(done: bool) -> Self {
        if done { Self::Done(()) } else { Self::Overtaken }
    }
}
