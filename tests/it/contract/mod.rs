//! The service against `openapi.yaml` as a whole: every documented status occurs, and no operation accepts a caller
//! without a token or of another partner.

pub(crate) mod calls;
mod sweeps;
mod walk;
