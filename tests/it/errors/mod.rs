//! Errors as callers see them: one envelope, whatever went wrong (docs/api-design.md#errors).

mod envelope;
mod failures;
mod order;
mod table;
