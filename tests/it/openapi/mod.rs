//! `openapi.yaml` and the judge that holds answers against it.

mod document;
mod judge;
