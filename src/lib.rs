//! Device management.
