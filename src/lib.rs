//! Device management.

pub mod crypto;
pub mod domain;
pub mod fraud;
pub mod outbound;
pub mod sms;
