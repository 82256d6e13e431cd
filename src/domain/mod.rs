//! The words of the product as types that cannot hold a wrong value.

pub mod app_signature;
pub mod language;
pub mod mobile_number;
