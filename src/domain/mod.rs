//! Domain types: persons, devices, keys, challenges, numbers.
//!
//! Values are validated when constructed. No I/O, no clock, no randomness: the caller passes in the time and random
//! bytes.

pub mod approvals;
pub mod audit;
pub mod challenges;
pub mod clients;
pub mod clock_skew;
pub mod devices;
pub mod failure_budget;
pub mod fraud;
pub mod id;
pub mod idempotency;
pub mod invalid;
pub mod numbers;
pub mod person;
pub mod sms;
