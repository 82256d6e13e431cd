//! What the service talks about: persons, devices, keys, challenges, numbers.
//!
//! Pure values that cannot be wrong once they exist. No I/O, no clock, no randomness: whoever needs the time or an id
//! passes it in.

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
