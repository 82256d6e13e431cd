//! One function for each kind of input that strangers choose: it tries the input out, panics when a property is broken, and
//! says what became of it.
//!
//! The fuzzer calls these with what it makes up, the integration tests with the seeds in `fuzz/corpus`. They state what
//! must hold for every input, not what the code does: where they can, they judge by arithmetic of their own.

pub mod bearer_token;
pub mod device_listing;
mod edge;
pub mod idempotency_key;
pub mod json_body;
pub mod public_key;
pub mod signature;

pub use edge::Edge;

/// What became of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was what it should be.
    Taken,
    /// It was not, and the answer said so.
    Refused,
    /// It fits into no request: there is nothing to learn from it.
    Unsendable,
}

impl Verdict {
    fn taken_if(taken: bool) -> Self {
        if taken { Self::Taken } else { Self::Refused }
    }
}
