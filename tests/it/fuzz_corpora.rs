//! The seed corpora of the fuzz targets as regression tests on the stable compiler, with the functions and properties
//! of
//! `fuzz/src/targets`.
//!
//! A seed named `good-...` must be accepted; one named `bad-...` must be refused or not fit into a request. Inputs that
//! the fuzzer finds are added under such a name.

use std::fs;
use std::path::Path;

use crate::harness::contract;

#[allow(unreachable_pub, reason = "the crate of the fuzz targets uses it too")]
#[path = "../../fuzz/src/targets/mod.rs"]
mod targets;

use targets::{Edge, Verdict};

#[test]
fn signatures_are_accepted_in_strict_der_only() {
    every_seed_of("signature", targets::signature::try_out);
}

#[test]
fn public_keys_are_accepted_on_the_curve_only() {
    every_seed_of("public_key", targets::public_key::try_out);
}

#[test]
fn bodies_are_accepted_or_their_faults_are_named() {
    let edge = Edge::open();
    every_seed_of("json_body", |seed| targets::json_body::try_out(&edge, seed));
}

#[test]
fn queries_of_the_device_list_are_accepted_or_their_faults_are_named() {
    let edge = Edge::open();
    every_seed_of("device_listing", |seed| targets::device_listing::try_out(&edge, seed));
}

#[test]
fn only_tokens_of_the_service_are_accepted() {
    let edge = Edge::open();
    every_seed_of("bearer_token", |seed| targets::bearer_token::try_out(&edge, seed));
}

#[test]
fn a_valid_idempotency_key_is_accepted_and_an_invalid_one_is_refused() {
    let edge = Edge::open();
    every_seed_of("idempotency_key", |seed| targets::idempotency_key::try_out(&edge, seed));
}

fn every_seed_of(target: &str, try_out: impl Fn(&[u8]) -> Verdict) {
    for (name, seed) in seeds_of(target) {
        let verdict = try_out(&seed);
        let fits = if name.starts_with("good-") { verdict == Verdict::Taken } else { verdict != Verdict::Taken };
        assert!(fits, "{target}/{name}: {verdict:?}");
    }
}

/// The seeds with their names, at least one good and one bad.
fn seeds_of(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut seeds = Vec::new();
    for entry in fs::read_dir(&folder).expect("every target has seeds") {
        let entry = entry.expect("a readable folder");
        let name = entry.file_name().into_string().expect("a plain name");
        seeds.push((name, fs::read(entry.path()).expect("a readable seed")));
    }
    let good = seeds.iter().filter(|(name, _)| name.starts_with("good-")).count();
    let bad = seeds.iter().filter(|(name, _)| name.starts_with("bad-")).count();
    assert!(good > 0 && bad > 0 && good + bad == seeds.len(), "{target}: each seed is called good-... or bad-...");
    seeds
}
