//! Device management.

pub mod crypto;
