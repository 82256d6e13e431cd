//! Names in the documents exist: settings, tests, files, and the modules of the library with their imports.

use std::collections::BTreeSet;
use std::process::Command;

use device_management::config::{Config, Environment};

use super::{Document, documents, root};
use crate::architecture::may_name;

/// Words that look like settings and are not: a variable of the tests, one of the allocator's build, and placeholders.
const NO_SETTINGS: [&str; 4] = ["TEST_DATABASE_URL", "CONFIG_FILE", "JEMALLOC_SYS_WITH_LG_PAGE", "NAME_FILE"];

/// The names of all settings, each also with the suffix `_FILE` that secrets may have.
fn settings() -> BTreeSet<String> {
    let config = Config::load(&Environment::default(), None).expect("the defaults can be used");
    let names = config.shown.iter().map(|shown| shown.name);
    names.flat_map(|name| [name.to_owned(), format!("{name}_FILE")]).collect()
}

/// The setting's name in a word of the form `LIKE_THIS` or `LIKE_THIS=value`.
fn setting_like(word: &str) -> Option<&str> {
    let name = word.split('=').next()?;
    let letters = name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_' || b == b'*');
    (letters && name.contains('_') && name.len() > 4).then_some(name)
}

#[test]
fn every_setting_that_a_document_names_exists() {
    let (settings, mut seen, mut wrong) = (settings(), 0, Vec::new());
    for document in documents() {
        for (line, word) in document.quoted() {
            let Some(name) = setting_like(word) else { continue };
            seen += 1;
            let exists = match name.strip_suffix('*') {
                Some(prefix) => settings.iter().any(|setting| setting.starts_with(prefix)),
                None => settings.contains(name),
            };
            if !exists && !NO_SETTINGS.contains(&name) {
                wrong.push(format!("{}:{line}: {name}", document.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "these are no settings:\n{}", wrong.join("\n"));
    assert!(seen > 100, "only {seen} names found: the search no longer works");
}

#[test]
fn operations_name_every_setting_by_its_purpose() {
    let operations = Document::read("docs/operations.md");
    let (_, table) = operations.text.split_once("\n## Settings by purpose\n").expect("there is such a heading");
    let table = table.split("\n## ").next().expect("something follows");
    let named: Vec<&str> = table.split('`').skip(1).step_by(2).collect();
    let is_named = |setting: &str| {
        let fits = |name: &&str| name.strip_suffix('*').map_or(*name == setting, |prefix| setting.starts_with(prefix));
        named.iter().any(fits)
    };
    let config = Config::load(&Environment::default(), None).expect("the defaults can be used");
    let missing: Vec<&str> = config.shown.iter().map(|shown| shown.name).filter(|name| !is_named(name)).collect();
    assert!(missing.is_empty(), "docs/operations.md does not name {missing:?} under \"Settings by purpose\"");
}

#[test]
fn every_test_that_a_document_names_exists() {
    let tests = tests();
    let modules: BTreeSet<&str> = tests.iter().filter_map(|test| test.split("::").next()).collect();
    let (mut seen, mut wrong) = (0, Vec::new());
    for document in documents() {
        for (line, word) in document.quoted() {
            let first = word.split("::").next().unwrap_or_default();
            let is_path =
                word.contains("::") && word.bytes().all(|b| b.is_ascii_lowercase() || b"_:0123456789".contains(&b));
            // A path may also name a module of the library, and unit tests are not in this binary.
            let is_ours = modules.contains(first) && !root().join("src").join(first).exists();
            if !is_path || !is_ours && !is_test(&tests, word) {
                continue;
            }
            seen += 1;
            if !is_test(&tests, word) {
                wrong.push(format!("{}:{line}: {word}", document.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "there are no such tests:\n{}", wrong.join("\n"));
    assert!(seen > 50, "only {seen} names found: the search no longer works");
}

#[test]
fn every_test_filter_in_a_document_matches_a_test() {
    let (tests, mut seen, mut wrong) = (tests(), 0, Vec::new());
    for document in documents() {
        for (line, command) in document.quoted() {
            let Some(filter) = command.strip_prefix("cargo test --locked ") else { continue };
            if filter == "NAME" {
                continue;
            }
            seen += 1;
            // Unit tests are not in this binary: for them the module has to exist.
            let is_module = root().join("src").join(filter.replace("::", "/")).exists();
            if !is_module && !tests.iter().any(|test| test.contains(filter)) {
                wrong.push(format!("{}:{line}: {filter}", document.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "these filters match no test:\n{}", wrong.join("\n"));
    assert!(seen > 20, "only {seen} filters found: the search no longer works");
}

/// Whether a name is a test or a module of tests. Documents leave out the module that names the database.
fn is_test(tests: &BTreeSet<String>, name: &str) -> bool {
    tests.iter().any(|test| test == name || test.starts_with(&format!("{name}::")))
}

/// The tests of this binary, without the names of the databases in their paths.
fn tests() -> BTreeSet<String> {
    let this = std::env::current_exe().expect("a running test has a file");
    let listed = Command::new(this).args(["--list", "--format", "terse"]).output().expect("it can be run");
    let listed = String::from_utf8(listed.stdout).expect("names are text");
    let names = listed.lines().filter_map(|line| line.strip_suffix(": test"));
    names.map(|name| name.replace("sqlite::", "").replace("postgres::", "")).collect()
}

#[test]
fn every_file_that_a_document_names_exists() {
    const FOLDERS: [&str; 9] =
        ["src/", "tests/", "docs/", "benches/", "fuzz/", "examples/", "migrations/", ".ci/", "deploy/"];
    let (mut seen, mut wrong) = (0, Vec::new());
    for document in documents() {
        for (line, word) in document.quoted() {
            let path = word.split(' ').next().unwrap_or_default();
            if !FOLDERS.iter().any(|folder| path.starts_with(folder)) {
                continue;
            }
            seen += 1;
            // Of a pattern, only the part before the first wildcard is checked.
            if !root().join(path.split(['{', '*', '<']).next().unwrap_or(path)).exists() {
                wrong.push(format!("{}:{line}: {path}", document.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "there are no such files:\n{}", wrong.join("\n"));
    assert!(seen > 20, "only {seen} names found: the search no longer works");
}

#[test]
fn the_arrows_in_the_documents_are_those_of_the_imports() {
    for path in ["ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let imports = drawn_imports(&Document::read(path).text);
        assert!(imports.len() >= 5, "{path} no longer draws the imports");
        for (upper, lower) in imports {
            assert!(may_name(&upper, &lower), "{path}: {upper} must not import {lower}, see tests/it/architecture.rs");
        }
    }
}

/// The imports that the flowcharts (Mermaid) and the `text` blocks of a document draw: `a --> b & c` or `a -> b, c`.
fn drawn_imports(document: &str) -> Vec<(String, String)> {
    let blocks = document.split("```").skip(1).step_by(2);
    let diagrams = blocks.filter(|block| block.starts_with("mermaid\nflowchart ") || block.starts_with("text\n"));
    let mut imports = Vec::new();
    for line in diagrams.flat_map(str::lines).filter(|line| line.contains("-> ")) {
        let line = line.replace(" --> ", " -> ").replace(" & ", ", ");
        let layers: Vec<Vec<&str>> =
            line.split(" -> ").map(|layer| layer.split(", ").map(str::trim).collect()).collect();
        for step in layers.windows(2) {
            let pairs = step[0].iter().flat_map(|upper| step[1].iter().map(move |lower| (*upper, *lower)));
            imports.extend(pairs.map(|(upper, lower)| (upper.to_owned(), lower.to_owned())));
        }
    }
    imports
}

#[test]
fn imports_are_read_from_flowcharts_and_text_blocks_only() {
    let document = "```mermaid\nflowchart TD\n    a[\"A\"]\n    a --> b & c --> d\n```\n\
                    x -> y\n```mermaid\nstateDiagram-v2\n    E --> F: g\n```\n```text\nh -> i, j\n```\n";
    let imports = drawn_imports(document);
    let imports: Vec<_> = imports.iter().map(|(upper, lower)| (upper.as_str(), lower.as_str())).collect();
    assert_eq!(imports, [("a", "b"), ("a", "c"), ("b", "d"), ("c", "d"), ("h", "i"), ("h", "j")]);
}
