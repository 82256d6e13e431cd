//! The seeds of the fuzzer, tried out by a stable compiler: the same functions, the same properties (`fuzz/src/targets`).
//!
//! A seed's name says what must become of it: `good-...` is taken, `bad-...` is refused or fits into no request at all.
//! What the fuzzer finds is given such a name and stays here.

use std::fs;
use std::path::Path;

use crate::harness::contract;

#[allow(unreachable_pub, reason = "the fuzz targets, which are another crate, use it too")]
#[path = "../../fuzz/src/targets/mod.rs"]
mod targets;

use targets::{Edge, Verdict};

#[test]
fn signatures_are_taken_in_strict_der_and_not_otherwise() {
    every_seed_of("signature", targets::signature::try_out);
}

#[test]
fn public_keys_are_taken_on_the_curve_and_not_otherwise() {
    every_seed_of("public_key", targets::public_key::try_out);
}

#[test]
fn bodies_are_taken_or_their_faults_are_named() {
    let edge = Edge::open();
    every_seed_of("json_body", |seed| targets::json_body::try_out(&edge, seed));
}

#[test]
fn queries_of_the_device_listing_are_taken_or_their_faults_are_named() {
    let edge = Edge::open();
    every_seed_of("device_listing", |seed| targets::device_listing::try_out(&edge, seed));
}

#[test]
fn nobody_is_let_in_without_a_token_of_our_making() {
    let edge = Edge::open();
    every_seed_of("bearer_token", |seed| targets::bearer_token::try_out(&edge, seed));
}

#[test]
fn a_good_idempotency_key_is_never_in_the_way_and_a_bad_one_is_refused() {
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

/// The seeds with their names: good and bad ones, and nothing else.
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
