//! The one integration-test binary.

#![allow(clippy::unwrap_used, reason = "in a test the panic is the report")]

mod fraud;
mod harness;
mod sms;
