//! Binds phones to persons and later verifies which device signed.
//!
//! Reading order: [`domain`] and [`crypto`] are pure; [`service`] has the use cases on top of the ports [`store`],
//! [`sms`] and [`fraud`]; [`api`] is the HTTP layer, which authenticates with [`auth`]; [`app`] assembles everything
//! from [`config`]. Imports point one way, which `tests/it/architecture.rs` checks. `ARCHITECTURE.md` has the map.

pub mod domain;

pub mod crypto;

pub mod service;

pub mod clock;
pub mod entropy;
pub mod finding;
pub mod fraud;
pub mod outbound;
pub mod sandbox;
pub mod sms;
pub mod store;
pub mod traces;

pub mod api;
pub mod auth;

pub mod app;
pub mod background;
pub mod cli;
pub mod config;
pub mod server;
pub mod telemetry;
