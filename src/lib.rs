//! Binds phones to persons and proves later which device signed.
//!
//! Reading order: [`domain`] and [`crypto`] are the pure core; [`service`] holds the use cases on top of the ports
//! [`store`], [`sms`] and [`fraud`]; [`api`] is the HTTP edge and asks [`auth`] who calls; [`app`] puts everything together
//! as [`config`] says. Imports point one way; `tests/it/architecture.rs` checks that. `ARCHITECTURE.md` has the map.

pub mod domain;

pub mod crypto;

pub mod service;

pub mod clock;
pub mod entropy;
pub mod fraud;
pub mod outbound;
pub mod sms;
pub mod store;

pub mod api;
pub mod auth;

pub mod app;
pub mod background;
pub mod cli;
pub mod config;
pub mod server;
pub mod telemetry;
