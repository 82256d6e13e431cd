//! What developers are told about a wrong key or signature. The tables of docs/sandbox.md are compared with the answers
//! of the service, so every documented mistake is made here through HTTP.

mod forms;
mod production;
mod signatures;

use std::fs;
use std::path::Path;

/// A row of a table: the mistake as the document calls it, what the service says, how to mend it.
struct Row {
    mistake: &'static str,
    says: String,
    remedy: String,
}

/// Compares the table under a heading of docs/sandbox.md with the rows.
#[track_caller]
fn assert_documented(heading: &str, rows: &[Row]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/sandbox.md");
    let text = fs::read_to_string(path).expect("docs/sandbox.md");
    let (_, section) = text.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no heading {heading:?}"));
    let section = section.split("\n#").next().unwrap_or_default();
    // The first two lines of a table are its head.
    let documented: Vec<&str> = section.lines().filter(|line| line.starts_with('|')).skip(2).collect();
    let found: Vec<String> =
        rows.iter().map(|Row { mistake, says, remedy }| format!("| {mistake} | {says} | {remedy} |")).collect();
    assert!(documented == found, "the table under {heading:?} has to be:\n{}\n", found.join("\n"));
}
