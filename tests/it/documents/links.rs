//! Every relative link leads to a file, and its fragment to a heading of that file.

use std::collections::{BTreeSet, HashMap};
use std::path::{Component, Path, PathBuf};

use super::{Document, documents, root, texts};

/// The fragments that lead to a heading, by document.
pub(super) struct Headings(HashMap<PathBuf, Vec<String>>);

impl Headings {
    pub(super) fn of(documents: &[Document]) -> Self {
        Self(documents.iter().map(|document| (document.path.clone(), anchors(document))).collect())
    }

    /// Whether a file exists, and the heading that the fragment names if there is a fragment.
    pub(super) fn lead(&self, target: &Path, anchor: Option<&str>) -> bool {
        let has = |anchor: &str| self.0.get(target).is_some_and(|known| known.iter().any(|known| known == anchor));
        root().join(target).exists() && anchor.is_none_or(has)
    }
}

#[test]
fn every_relative_link_leads_to_a_file_and_a_heading() {
    let documents = documents();
    let headings = Headings::of(&documents);
    let broken: Vec<String> = documents.iter().flat_map(|document| broken(&headings, document)).collect();
    assert!(broken.is_empty(), "these links lead nowhere:\n{}", broken.join("\n"));
    let seen = documents.iter().flat_map(Document::prose).flat_map(|(_, line)| relative(line)).count();
    assert!(seen > 100, "only {seen} links found");
}

#[test]
fn the_readmes_of_the_examples_link_to_every_file() {
    let mut examples = texts();
    examples.retain(|text| text.path.starts_with("examples"));
    let (readmes, files): (Vec<_>, Vec<_>) = examples.iter().partition(|text| text.path.ends_with("README.md"));
    let links_of = |readme: &Document| -> Vec<PathBuf> {
        readme.prose().flat_map(|(_, line)| relative(line)).map(|link| beside(&readme.path, link)).collect()
    };
    let linked: BTreeSet<PathBuf> = readmes.iter().flat_map(|readme| links_of(readme)).collect();
    let missing: Vec<&Path> =
        files.iter().map(|file| file.path.as_path()).filter(|path| !linked.contains(*path)).collect();
    assert!(missing.is_empty(), "no README.md below examples/ links to {missing:?}");
    assert!(files.len() > 10, "only {} examples found", files.len());
}

/// The links of a document that lead nowhere, each with its place.
fn broken(headings: &Headings, document: &Document) -> Vec<String> {
    let links = document.prose().flat_map(|(number, line)| relative(line).map(move |link| (number, link)));
    let leads_nowhere = |link: &str| {
        let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
        let target = if file.is_empty() { document.path.clone() } else { beside(&document.path, file) };
        !headings.lead(&target, anchor)
    };
    links
        .filter(|(_, link)| leads_nowhere(link))
        .map(|(number, link)| format!("{}:{number}: {link}", document.path.display()))
        .collect()
}

/// The targets of `[text](target)` within the project.
fn relative(line: &str) -> impl Iterator<Item = &str> {
    links(line).filter(|link| !link.contains("://") && !link.starts_with("mailto:"))
}

/// The targets of `[text](target)`.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next())
}

/// A path relative to the folder of a file.
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

/// The fragments of a document's headings, as GitHub makes them: lower case, punctuation left out, a hyphen for each
/// blank, and a number behind a text that an earlier heading has.
fn anchors(document: &Document) -> Vec<String> {
    let headings = document.prose().filter_map(|(_, line)| line.strip_prefix('#'));
    let texts = headings.filter_map(|line| line.trim_start_matches('#').strip_prefix(' '));
    let mut earlier: HashMap<String, usize> = HashMap::new();
    texts
        .map(|text| {
            let is_kept = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
            let kept = text.trim().chars().flat_map(char::to_lowercase).filter(is_kept);
            let slug: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
            let count = earlier.entry(slug.clone()).or_default();
            *count += 1;
            if *count == 1 { slug } else { format!("{slug}-{}", *count - 1) }
        })
        .collect()
}

#[test]
fn links_and_headings_are_read_as_github_reads_them() {
    let line = "see [one](pages/one.md#a-b) and [two](#two) and ![three](three.svg \"title\") and [four](https://four)";
    assert_eq!(links(line).collect::<Vec<_>>(), ["pages/one.md#a-b", "#two", "three.svg", "https://four"]);
    assert_eq!(relative(line).count(), 3);
    assert_eq!(beside(Path::new("pages/decisions/1.md"), "../errors.md"), Path::new("pages/errors.md"));
    let text = "# Once, twice\n```\n# no\n```\n## `A_B` and C (d)\n#no\n## Once, twice\n";
    let document = Document { path: "x.md".into(), text: text.to_owned() };
    assert_eq!(anchors(&document), ["once-twice", "a_b-and-c-d", "once-twice-1"]);
}

#[test]
fn a_link_to_a_missing_file_or_heading_is_found() {
    let text = "# Here\n[good](#here) [good](Cargo.toml)\n[no heading](#there) [no file](there.md) [no heading](Cargo.toml#here)\n";
    let document = Document { path: "README.md".into(), text: text.to_owned() };
    let headings = Headings::of(std::slice::from_ref(&document));
    let expected = ["README.md:3: #there", "README.md:3: there.md", "README.md:3: Cargo.toml#here"];
    assert_eq!(broken(&headings, &document), expected);
}
