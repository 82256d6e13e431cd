//! Device management.

pub mod domain;
pub mod fraud;
pub mod sms;
