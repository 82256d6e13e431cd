//! Sent SMS: usage for the limits, and the conversion of their codes.

pub(in crate::store) mod conversion;
pub(in crate::store) mod usage;
