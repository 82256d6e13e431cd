//! Relative links in the documents: the target file exists, and a fragment is a heading of that file.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use super::{Document, documents, root};

#[test]
fn every_relative_link_leads_to_a_file_and_a_heading() {
    let documents = documents();
    let anchors: HashMap<&Path, Vec<String>> =
        documents.iter().map(|document| (document.path.as_path(), anchors(document))).collect();
    let (mut seen, mut broken) = (0, Vec::new());
    for document in &documents {
        for (line, link) in document.prose().flat_map(|(number, line)| links(line).map(move |link| (number, link))) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            seen += 1;
            let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
            let target = if file.is_empty() { document.path.clone() } else { beside(&document.path, file) };
            let has_anchor = |anchor: &str| {
                anchors.get(target.as_path()).is_some_and(|known| known.iter().any(|known| known == anchor))
            };
            if !root().join(&target).exists() || !anchor.is_none_or(has_anchor) {
                broken.push(format!("{}:{line}: {link}", document.path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "these lead nowhere:\n{}", broken.join("\n"));
    assert!(seen > 30, "only {seen} links found: the walk has lost its way");
}

/// The targets of `[text](target)`.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next())
}

/// Resolves a path relative to the folder of a file.
fn beside(file: &Path, relative: &str) -> PathBuf {
    let mut path = file.parent().expect("a file is in a folder").to_path_buf();
    for component in Path::new(relative).components() {
        match component {
            Component::ParentDir => assert!(path.pop(), "{relative} climbs out of the project"),
            Component::CurDir => {}
            component => path.push(component),
        }
    }
    path
}

/// The anchors of a document's headings as GitHub and GitLab derive them: lower case, punctuation removed, a hyphen for
/// each space.
fn anchors(document: &Document) -> Vec<String> {
    let headings = document.prose().filter_map(|(_, line)| line.strip_prefix('#'));
    let texts = headings.filter_map(|line| line.trim_start_matches('#').strip_prefix(' '));
    texts
        .map(|text| {
            let is_kept = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
            let kept = text.trim().chars().flat_map(char::to_lowercase).filter(is_kept);
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

#[test]
fn links_and_headings_are_read_as_forges_read_them() {
    let line = "see [one](docs/one.md#a-b) and [two](#two) and ![three](three.svg \"title\")";
    assert_eq!(links(line).collect::<Vec<_>>(), ["docs/one.md#a-b", "#two", "three.svg"]);
    assert_eq!(beside(Path::new("docs/decisions/1.md"), "../errors.md"), Path::new("docs/errors.md"));
    let document =
        Document { path: "x.md".into(), text: "# Once, twice\n```\n# no\n```\n## `A_B` and C (d)\n#no\n".to_owned() };
    assert_eq!(anchors(&document), ["once-twice", "a_b-and-c-d"]);
}
