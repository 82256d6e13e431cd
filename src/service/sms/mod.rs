//! Whether an SMS may be sent, and how many of the codes sent are used.

pub(in crate::service) mod conversion;
pub(in crate::service) mod rules;
