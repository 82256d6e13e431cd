//! What the fuzz targets try out, and the judge of the tests that holds answers against `openapi.yaml`.
//!
//! `targets` is also part of the integration tests, which run it over `corpus/` on a stable compiler: nothing in it may
//! need the fuzzer.

#[allow(dead_code, reason = "the tests use all of it, the targets only the judge")]
#[path = "../../tests/it/harness/contract.rs"]
mod contract;
pub mod targets;

impl targets::Verdict {
    /// Whether the fuzzer should build on this input.
    #[must_use]
    pub fn into_corpus(self) -> libfuzzer_sys::Corpus {
        match self {
            Self::Taken | Self::Refused => libfuzzer_sys::Corpus::Keep,
            Self::Unsendable => libfuzzer_sys::Corpus::Reject,
        }
    }
}
