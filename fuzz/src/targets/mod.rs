//! One function for each kind of untrusted input: it processes the input, panics when a property is violated, and
//! returns the verdict.
//!
//! The fuzzer calls these with generated inputs, the integration tests with the seeds in `fuzz/corpus`. The properties
//! hold for every input and are, where possible, checked by an independent implementation.

pub mod bearer_token;
pub mod device_listing;
mod edge;
pub mod idempotency_key;
pub mod json_body;
pub mod public_key;
pub mod signature;

pub use edge::Edge;

/// The outcome of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is valid and was accepted.
    Taken,
    /// It is invalid and was refused.
    Refused,
    /// It cannot be part of a request.
    Unsendable,
}

impl Verdict {
    fn taken_if(taken: bool) -> Self {
        if taken { Self::Taken } else { Self::Refused }
    }
}
