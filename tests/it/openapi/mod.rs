//! `openapi.yaml`, and the contract check that compares every answer with it.

mod document;
mod judge;
