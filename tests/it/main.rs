//! The one integration binary: what a client, an operator or a database sees of the service.

#![allow(clippy::unwrap_used, reason = "in a test the panic is the report")]

#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "it looks for Postgres in the environment, names its databases at random and makes them"
)]
mod harness;

mod architecture;
mod audit;
mod audit_events;
mod binary;
mod bindings;
mod clocks;
mod config;
mod contract;
mod database;
mod device_lists;
mod devices;
mod documents;
mod erasure;
mod errors;
mod failure_budget;
mod fraud;
mod fraud_flow;
mod fuzz_corpora;
#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "it runs SQL of a page, and a script with the PATH of the tests"
)]
mod grants;
#[allow(clippy::disallowed_types, reason = "it locks the tables that a database turns out to have")]
mod hanging_up;
#[allow(clippy::disallowed_types, reason = "it looks into databases whose names are made up on the way")]
mod harness_works;
mod housekeeping;
mod idempotency;
mod keys;
mod migrations;
mod mobile_numbers;
#[allow(clippy::disallowed_types, reason = "it reads whatever tables the catalogue names")]
mod model;
mod openapi;
mod outages;
mod overload;
mod pooler;
mod pure_parts;
mod races;
mod round_trips;
mod slow_upstreams;
mod sms;
mod sms_conversion;
mod sms_limits;
mod store;
mod strange_input;
mod tokens;
