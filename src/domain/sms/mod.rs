//! The rules of SMS: rate limits, conversion, enforcement, language and the app hash.

pub mod app_signature;
pub mod conversion;
pub mod enforcement;
pub mod language;
pub mod limits;
