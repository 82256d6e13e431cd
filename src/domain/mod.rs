//! What the service talks about: persons, devices, keys, challenges, numbers.
//!
//! Pure values that cannot be wrong once they exist. No I/O, no clock, no randomness: whoever needs the time or an id
//! passes it in.

pub mod app_signature;
pub mod audit;
pub mod challenge;
pub mod client;
pub mod clock_skew;
pub mod country;
pub mod device;
pub mod device_data;
pub mod enforcement;
pub mod failure_budget;
pub mod fraud;
pub mod id;
pub mod idempotency;
pub mod invalid;
pub mod key;
pub mod language;
pub mod mobile_number;
mod numbering_plan;
pub mod person;
pub mod sms_conversion;
pub mod sms_limits;
