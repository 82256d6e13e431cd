//! What the scenarios stand on.

pub(crate) mod log;
pub(crate) mod provider;
