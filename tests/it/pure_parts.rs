//! The cases of the benchmarks `pure` and `instructions`, each run once: its result is right.

#[allow(dead_code, reason = "only the benchmarks repeat a case")]
#[path = "../../benches/cases/mod.rs"]
mod cases;

#[test]
fn each_benchmark_case_returns_the_expected_result() {
    let wrong: Vec<&str> =
        cases::all().into_iter().filter(|case| !case.comes_out_right()).map(|case| case.name).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}
