//! Every page below `docs` that a comment cites exists, and so does the heading behind `#`, also the second one in
//! `#one and #other`.

use std::path::Path;

use super::links::Headings;
use super::{Document, documents, texts};

/// The folder of the pages. The made-up citations below are put together from it, so that this file does not cite them.
const PAGES: &str = "docs/";

#[test]
fn every_cited_page_and_heading_exists() {
    let headings = Headings::of(&documents());
    let texts = texts();
    let broken: Vec<String> = texts.iter().flat_map(|text| broken(&headings, text)).collect();
    assert!(broken.is_empty(), "these citations lead nowhere:\n{}", broken.join("\n"));
    let seen = texts.iter().flat_map(|text| text.text.lines()).flat_map(citations).count();
    assert!(seen > 100, "only {seen} citations found");
}

#[test]
fn no_text_cites_a_document_that_is_not_in_the_project() {
    let gone = [["contract", "section"].join(" "), ["contract", "md"].join(".")];
    let is_gone = |line: &str| gone.iter().any(|gone| line.to_lowercase().contains(gone));
    let mut found = Vec::new();
    for Document { path, text } in texts() {
        let lines = text.lines().enumerate().filter(|(_, line)| is_gone(line));
        found.extend(lines.map(|(index, line)| format!("{}:{}: {}", path.display(), index + 1, line.trim())));
    }
    assert!(found.is_empty(), "cite a heading of docs/api-design.md instead:\n{}", found.join("\n"));
}

/// The citations of a text that lead nowhere, each with its place.
fn broken(headings: &Headings, text: &Document) -> Vec<String> {
    let lines = text.text.lines().enumerate();
    let cited = lines.flat_map(|(index, line)| citations(line).into_iter().map(move |citation| (index + 1, citation)));
    cited
        .filter(|(_, (page, anchor))| !headings.lead(Path::new(page), *anchor))
        .map(|(line, (page, anchor))| format!("{}:{line}: {page}#{}", text.path.display(), anchor.unwrap_or_default()))
        .collect()
}

/// The pages that a line cites, each with the heading if it names one. A page with several headings comes once for each.
fn citations(line: &str) -> Vec<(&str, Option<&str>)> {
    let mut found = Vec::new();
    for (at, _) in line.match_indices(PAGES) {
        let path = word(&line[at..], "/._-");
        let Some(end) = path.find(".md") else { continue };
        let (page, mut rest) = line[at..].split_at(end + ".md".len());
        let Some(anchor) = rest.strip_prefix('#') else {
            found.push((page, None));
            continue;
        };
        rest = anchor;
        loop {
            let anchor = word(rest, "_-");
            found.push((page, Some(anchor)));
            let Some(next) = rest[anchor.len()..].strip_prefix(" and #") else { break };
            rest = next;
        }
    }
    found
}

/// The letters, digits and these other characters that a text begins with.
fn word<'a>(text: &'a str, others: &str) -> &'a str {
    let ends = |c: char| !c.is_alphanumeric() && !others.contains(c);
    &text[..text.find(ends).unwrap_or(text.len())]
}

#[test]
fn citations_are_read_with_their_headings() {
    let page = format!("{PAGES}some-page.md");
    let line = format!("// One ({page}#a-b and #c_d), two ({page}), [three](../{page}#e). {PAGES}picture.svg");
    let expected = [(&*page, Some("a-b")), (&page, Some("c_d")), (&page, None), (&page, Some("e"))];
    assert_eq!(citations(&line), expected);
}

#[test]
fn a_citation_of_a_missing_page_or_heading_is_found() {
    let headings = Headings::of(&documents());
    let text = format!(
        "// good: {PAGES}errors.md, {PAGES}errors.md#table and #token-endpoints\n\
         // no page: {PAGES}no-such-page.md\n\
         // no heading: {PAGES}errors.md#table and #no-such-heading\n"
    );
    let expected =
        [format!("src/x.rs:2: {PAGES}no-such-page.md#"), format!("src/x.rs:3: {PAGES}errors.md#no-such-heading")];
    assert_eq!(broken(&headings, &Document { path: "src/x.rs".into(), text }), expected);
}
