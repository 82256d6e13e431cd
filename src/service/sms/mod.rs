//! Checks whether an SMS may be sent, and the conversion of sent codes.

pub(in crate::service) mod conversion;
pub(in crate::service) mod rules;
