//! The one integration binary: what a client, an operator or a database sees of the service.

mod harness;
mod openapi;
