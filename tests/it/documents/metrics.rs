//! The table of metrics in `docs/operations.md` equals `telemetry::METRICS`, and the service records no other metric.

use std::collections::BTreeSet;

use device_management::telemetry::METRICS;

use super::Document;
use crate::architecture::sources;

#[test]
fn operations_print_every_metric_with_its_labels() {
    let operations = Document::read("docs/operations.md");
    let (_, section) = operations.text.split_once("\n## Metrics\n").expect("there is such a heading");
    let rows = section.lines().skip_while(|line| !line.starts_with("| --- ")).skip(1);
    let printed: Vec<(String, Vec<String>)> = rows
        .take_while(|line| line.starts_with('|'))
        .map(|row| {
            let cells: Vec<&str> = row.split('|').collect();
            (words(cells[1]).concat(), words(&without_parentheses(cells[2])))
        })
        .collect();
    let own: Vec<(String, Vec<String>)> = METRICS
        .iter()
        .map(|metric| (metric.name.to_owned(), metric.labels.iter().map(|label| (*label).to_owned()).collect()))
        .collect();
    assert_eq!(printed, own);
}

/// The words in backticks.
fn words(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// A text without its parentheses, which hold the values of labels.
fn without_parentheses(text: &str) -> String {
    let mut depth = 0;
    text.chars()
        .filter(|c| {
            depth += i32::from(*c == '(');
            let kept = depth == 0;
            depth -= i32::from(*c == ')');
            kept
        })
        .collect()
}

#[test]
fn every_metric_of_the_service_stands_in_its_table() {
    let known: BTreeSet<&str> = METRICS.iter().map(|metric| metric.name).collect();
    let mut recorded = BTreeSet::new();
    for (place, text) in sources() {
        for macro_name in ["counter!(", "gauge!(", "histogram!("] {
            for (at, _) in text.match_indices(macro_name) {
                let arguments = text[at + macro_name.len()..].trim_start();
                let Some(name) = arguments.strip_prefix('"').and_then(|rest| rest.split('"').next()) else { continue };
                assert!(known.contains(name), "{place} records {name}, which is not in telemetry::METRICS");
                recorded.insert(name.to_owned());
            }
        }
    }
    let recorded: BTreeSet<&str> = recorded.iter().map(String::as_str).collect();
    assert_eq!(recorded, known, "a metric of the table is not recorded any more");
}
