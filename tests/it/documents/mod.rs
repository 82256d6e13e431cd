//! Facts in the documents that a program can check: links, names of settings, tests, files and metrics, and the
//! directions of imports.

mod links;
mod metrics;
mod names;

use std::fs;
use std::path::{Path, PathBuf};

/// A document of the project.
struct Document {
    /// Relative to the root of the repository.
    path: PathBuf,
    text: String,
}

impl Document {
    fn read(path: &str) -> Self {
        let text = fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        Self { path: path.into(), text }
    }

    /// The lines outside fenced code blocks, with their line numbers.
    fn prose(&self) -> impl Iterator<Item = (usize, &str)> {
        let mut fenced = false;
        self.text.lines().enumerate().filter_map(move |(index, line)| {
            let is_fence = line.trim_start().starts_with("```");
            fenced ^= is_fence;
            (!fenced && !is_fence).then_some((index + 1, line))
        })
    }

    /// The words in backticks outside fenced code blocks, with their line numbers.
    fn quoted(&self) -> Vec<(usize, &str)> {
        let words = |line| str::split(line, '`').skip(1).step_by(2);
        self.prose().flat_map(|(number, line)| words(line).map(move |word| (number, word))).collect()
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every document: the Markdown files in the root folder, in `benches`, in `docs` and in `docs/decisions`.
fn documents() -> Vec<Document> {
    let mut documents = Vec::new();
    for folder in ["", "benches", "docs", "docs/decisions"] {
        for entry in fs::read_dir(root().join(folder)).expect("a readable folder") {
            let path = entry.expect("a readable folder").path();
            if path.extension().is_some_and(|extension| extension == "md") {
                documents
                    .push(Document::read(&path.strip_prefix(root()).expect("below the project").to_string_lossy()));
            }
        }
    }
    documents.sort_by(|one, other| one.path.cmp(&other.path));
    assert!(documents.len() > 20, "only {} documents found: the walk has lost its way", documents.len());
    documents
}
