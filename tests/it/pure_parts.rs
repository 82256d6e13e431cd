//! The cases that `cargo bench` and `benches/instructions` measure, each run once: what is measured is right.

#[allow(dead_code, reason = "repeating is for those who measure")]
#[path = "../../benches/cases/mod.rs"]
mod cases;

#[test]
fn each_pure_part_comes_out_as_it_should() {
    let wrong: Vec<&str> =
        cases::all().into_iter().filter(|case| !case.comes_out_right()).map(|case| case.name).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn the_baseline_of_instructions_names_the_cases_that_there_are() {
    let baseline = include_str!("../../benches/instructions.tsv");
    let lines = baseline.lines().filter(|line| !line.starts_with('#'));
    let counted: Vec<&str> = lines.filter_map(|line| line.split('\t').next()).collect();
    let cases: Vec<&str> = cases::all().iter().map(|case| case.name).collect();
    assert_eq!(counted, cases, "benches/instructions --update counts them anew");
}
