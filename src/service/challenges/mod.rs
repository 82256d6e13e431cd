//! Challenges: a code is sent, and something is proved with it. The flows are written once; each kind adds to them what is
//! its own.

pub(in crate::service) mod answer;
pub(in crate::service) mod binding;
mod number;
pub(in crate::service) mod one_time_codes;
mod send_code;
