//! The time of the pure parts, measured by criterion: `cargo bench --bench pure [-- FILTER]`.
//!
//! The log is off here, and on in `instructions`. The allocator is that of production.

mod cases;

use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn pure(criterion: &mut Criterion) {
    for case in cases::all() {
        assert!(case.comes_out_right(), "{} comes out wrong", case.name);
        criterion.bench_function(case.name, |bencher| {
            bencher.iter_custom(|times| {
                let started = Instant::now();
                case.repeat(times);
                started.elapsed()
            });
        });
    }
}

criterion_group!(benches, pure);
criterion_main!(benches);
