//! The one integration binary: what a client, an operator or a database sees of the service.

#![allow(clippy::unwrap_used, reason = "in a test the panic is the report")]

mod harness;

mod bindings;
mod harness_works;
mod openapi;
mod races;
mod store;
