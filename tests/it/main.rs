//! The integration tests, in one binary: the behaviour that clients, operators and databases observe.

#![allow(clippy::unwrap_used, reason = "in a test the panic is the report")]

#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "it finds Postgres through the environment, and creates databases with random names"
)]
mod harness;

mod activation_codes;
mod architecture;
mod audit;
mod audit_events;
mod binary;
mod bindings;
mod browser;
mod citus;
mod clocks;
mod config;
mod contract;
mod database;
mod device_challenges;
mod device_lists;
mod devices;
mod diagnoses;
mod doctor;
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
    reason = "it runs SQL from a document, and a script with the PATH of the tests"
)]
mod grants;
#[allow(clippy::disallowed_types, reason = "it locks every table of the catalogue")]
mod hanging_up;
#[allow(clippy::disallowed_types, reason = "it queries databases with generated names")]
mod harness_works;
mod housekeeping;
mod idempotency;
mod keys;
#[allow(clippy::disallowed_types, reason = "it reads and writes tables of the catalogue")]
mod migrations;
mod mobile_numbers;
#[allow(clippy::disallowed_types, reason = "it reads every table of the catalogue")]
mod model;
mod openapi;
mod outages;
mod overload;
mod pooler;
mod pure_parts;
mod races;
mod round_trips;
mod sandbox;
mod slow_upstreams;
mod sms;
mod sms_challenges;
mod sms_conversion;
mod sms_limits;
mod store;
mod strange_input;
mod tokens;
mod traces;
