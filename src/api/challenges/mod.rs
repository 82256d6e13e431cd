//! The routes of challenges, one file per resource.

mod activation;
mod activation_listing;
mod approval;
pub(in crate::api) mod devices;
pub(in crate::api) mod signatures;
mod sms;

use axum::Router;

use crate::api::App;

/// The routes of all kinds of challenges.
pub(in crate::api) fn routes() -> Router<App> {
    signatures::routes().merge(devices::routes()).merge(sms::routes()).merge(activation::routes())
}
