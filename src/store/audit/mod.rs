//! The audit trail: events written with each change, sealed into a chain per partner, and read back.

pub(in crate::store) mod events;
pub(in crate::store) mod record;
pub(in crate::store) mod trail;
