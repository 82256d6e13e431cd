//! The cases that `cargo bench` and `benches/instructions` measure, each run once to check its result.

#[allow(dead_code, reason = "repeating is for those who measure")]
#[path = "../../benches/cases/mod.rs"]
mod cases;

#[test]
fn each_benchmark_case_returns_the_expected_result() {
    let wrong: Vec<&str> =
        cases::all().into_iter().filter(|case| !case.comes_out_right()).map(|case| case.name).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn the_instruction_baseline_names_all_cases() {
    let baseline = include_str!("../../benches/instructions.tsv");
    let lines = baseline.lines().filter(|line| !line.starts_with('#'));
    let counted: Vec<&str> = lines.filter_map(|line| line.split('\t').next()).collect();
    let cases: Vec<&str> = cases::all().iter().map(|case| case.name).collect();
    assert_eq!(counted, cases, "benches/instructions --update counts them anew");
}
