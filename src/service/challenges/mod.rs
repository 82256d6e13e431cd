//! Challenges: opened by a request, answered by the phone. One file for each use case.

pub(in crate::service) mod bind_device;
pub(in crate::service) mod one_time_codes;
pub(in crate::service) mod verify_binding;
