//! The functions of the fuzz targets, and the check of the tests that answers conform to `openapi.yaml`.
//!
//! The integration tests include `targets` too and run it on `corpus/` with a stable compiler, so it must not depend on
//! the fuzzer.

#[allow(dead_code, reason = "the tests use all of it, the targets only the check")]
#[path = "../../tests/it/harness/contract.rs"]
mod contract;
pub mod targets;

impl targets::Verdict {
    /// Whether the fuzzer should keep this input in its corpus.
    #[must_use]
    pub fn into_corpus(self) -> libfuzzer_sys::Corpus {
        match self {
            Self::Taken | Self::Refused => libfuzzer_sys::Corpus::Keep,
            Self::Unsendable => libfuzzer_sys::Corpus::Reject,
        }
    }
}
