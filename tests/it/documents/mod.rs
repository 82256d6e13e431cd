//! Facts in the documents that a program can check: links, citations of pages in comments, names of settings, tests, files
//! and metrics, and the directions of imports.

mod citations;
mod glossary;
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

/// Folders without files that a person wrote: repositories, build output, inputs of the fuzzer.
const SKIPPED: [&str; 4] = [".git", "corpus", "node_modules", "target"];

/// Every text file of the project, sorted by path.
fn texts() -> Vec<Document> {
    let (mut folders, mut texts) = (vec![root().to_path_buf()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a readable folder") {
            let path = entry.expect("a readable folder").path();
            let is_skipped = path.file_name().is_some_and(|name| SKIPPED.iter().any(|skipped| *skipped == name));
            if is_skipped {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                texts.push(Document { path: path.strip_prefix(root()).expect("below the project").into(), text });
            }
        }
    }
    texts.sort_by(|one, other| one.path.cmp(&other.path));
    assert!(texts.len() > 300, "only {} text files found", texts.len());
    texts
}

/// Every Markdown file of the project.
fn documents() -> Vec<Document> {
    let is_markdown = |document: &Document| document.path.extension().is_some_and(|extension| extension == "md");
    let documents: Vec<Document> = texts().into_iter().filter(is_markdown).collect();
    assert!(documents.len() > 20, "only {} documents found", documents.len());
    documents
}
