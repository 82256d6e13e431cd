//! The one integration binary: what a client, an operator or a database sees of the service.

#![allow(clippy::unwrap_used, reason = "in a test the panic is the report")]

mod errors;
mod harness;

mod architecture;
mod bindings;
mod contract;
mod devices;
mod harness_works;
mod keys;
mod mobile_numbers;
mod openapi;
mod strange_input;
mod tokens;
