//! Migrations beside others: what they wait for, for how long, what they say meanwhile, and what they must not do to tables
//! that are in use.

mod lint;
mod locks;
mod other_builds;
