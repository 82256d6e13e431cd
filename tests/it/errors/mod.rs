//! Errors as callers see them: one envelope, whatever went wrong (contract section 2).

mod envelope;
mod failures;
mod order;
mod table;
