//! Errors as clients see them, all in one envelope (docs/api-design.md#errors).

mod envelope;
mod failures;
mod order;
mod table;
