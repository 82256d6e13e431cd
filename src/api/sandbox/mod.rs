//! The routes under `/sandbox` (docs/sandbox.md). The router has them in the sandbox only; in production they are unknown
//! routes.

pub(in crate::api) mod clock;
mod messages;
mod phone;

use std::sync::Arc;

use axum::routing::get;
use axum::{Extension, Router};

use crate::api::App;
use crate::sandbox::Sandbox;

/// The routes that need a token.
pub(in crate::api) fn routes(sandbox: &Arc<Sandbox>) -> Router<App> {
    Router::new()
        .route("/sandbox/messages", get(messages::list))
        .route("/sandbox/clock", get(clock::show).post(clock::advance))
        .layer(Extension(sandbox.clone()))
}

/// The routes that need no token: a page for people. Its requests to the API have one.
pub(in crate::api) fn pages(_: &Arc<Sandbox>) -> Router<App> {
    phone::routes()
}
