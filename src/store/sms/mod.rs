//! SMS that were sent: what counts against the limits, and how many of their codes were used.

pub(in crate::store) mod conversion;
pub(in crate::store) mod usage;
