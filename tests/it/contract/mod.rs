//! The service against `openapi.yaml` as a whole: everything that the document promises is seen to happen, and no operation
//! lets anybody past who has no business there.

pub(crate) mod calls;
mod sweeps;
mod walk;
