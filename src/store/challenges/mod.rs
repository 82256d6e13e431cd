//! Challenges: opened, looked up, answered and closed. One file for each kind.

pub(in crate::store) mod binding;
pub(in crate::store) mod binding_outcomes;
pub(in crate::store) mod number;
mod one_statement;
