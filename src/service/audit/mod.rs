//! The audit trail: what a use case writes down, and how the trail is exported and verified.

pub(in crate::service) mod checkpoints;
pub(in crate::service) mod export;
pub(in crate::service) mod scope;
pub(in crate::service) mod verification;
pub(in crate::service) mod walk;
