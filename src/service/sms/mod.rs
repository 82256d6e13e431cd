//! Checks whether an SMS may be sent, hands it to the providers, and counts the conversion of sent codes.

pub(in crate::service) mod conversion;
pub(in crate::service) mod delivery;
pub(in crate::service) mod rules;
