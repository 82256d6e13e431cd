//! Challenges over HTTP. One file for each resource.

pub(in crate::api) mod signatures;
