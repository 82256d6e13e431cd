//! The audit trail: recording by use cases, sealing, export and verification.

pub(in crate::service) mod checkpoints;
pub(in crate::service) mod export;
pub(in crate::service) mod scope;
pub(in crate::service) mod verification;
pub(in crate::service) mod walk;
