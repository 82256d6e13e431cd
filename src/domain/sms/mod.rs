//! SMS as the rules see them: how many may be sent, in which language, and how many of their codes are used.

pub mod app_signature;
pub mod conversion;
pub mod enforcement;
pub mod language;
pub mod limits;
