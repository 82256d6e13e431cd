//! Challenges over HTTP. One file for each resource.

pub(in crate::api) mod signatures;

use axum::Router;

use crate::api::App;

/// The routes of all kinds.
pub(in crate::api) fn routes() -> Router<App> {
    signatures::routes()
}
