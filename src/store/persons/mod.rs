//! Persons: their failures, and their erasure.

pub(in crate::store) mod erased;
pub(in crate::store) mod erasure;
pub(in crate::store) mod failures;
