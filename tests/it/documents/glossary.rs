//! One word, one meaning: no text uses a synonym that the last column of `docs/glossary.md` excludes.

use super::{Document, texts};

const GLOSSARY: &str = "docs/glossary.md";

/// Names that others chose and that contain an excluded word, with the reason for keeping each.
const FOREIGN_NAMES: [(&str, &str); 1] = [("Invalid TAN", "the title of `invalid_tan` in the API reference")];

/// The synonyms in the last column of the glossary.
fn excluded() -> Vec<String> {
    let glossary = Document::read(GLOSSARY);
    let table = glossary.text.lines().skip_while(|line| !line.starts_with("| --- ")).skip(1);
    let synonyms = |row: &str| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 5, "a row of the glossary has three cells: {row}");
        let synonyms = cells[3].split(", ").filter(|synonym| !synonym.is_empty());
        synonyms.map(str::to_owned).collect::<Vec<_>>()
    };
    table.take_while(|line| line.starts_with('|')).flat_map(synonyms).collect()
}

/// Whether a text has a word, in singular or plural. A word without capitals is found in any case.
fn has_word(text: &str, word: &str) -> bool {
    let any_case = word.bytes().all(|b| !b.is_ascii_uppercase());
    let text = if any_case { text.to_lowercase() } else { text.to_owned() };
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let rest = &text[at + word.len()..];
        let rest = rest.strip_prefix('s').unwrap_or(rest);
        !text[..at].ends_with(is_part) && !rest.starts_with(is_part)
    })
}

/// A line without the names that others chose.
fn own_words(line: &str) -> String {
    FOREIGN_NAMES.iter().fold(line.to_owned(), |line, (name, _)| line.replace(name, ""))
}

/// The lines of a text that have one of these words, each with its place and the word.
fn uses<'a>(text: &Document, words: &[&'a str]) -> Vec<(String, &'a str)> {
    let words: Vec<&str> = words.iter().copied().filter(|word| has_word(&text.text, word)).collect();
    let mut found = Vec::new();
    for (index, line) in text.text.lines().enumerate() {
        let line = own_words(line);
        let used = words.iter().filter(|word| has_word(&line, word));
        found.extend(used.map(|word| (format!("{}:{}", text.path.display(), index + 1), *word)));
    }
    found
}

/// Every text but the glossary, and the file of locked dependencies, whose names are not ours.
fn checked() -> Vec<Document> {
    let is_checked = |text: &Document| !text.path.ends_with("Cargo.lock") && !text.path.ends_with(GLOSSARY);
    texts().into_iter().filter(is_checked).collect()
}

#[test]
fn no_text_uses_a_synonym_that_the_glossary_excludes() {
    let excluded = excluded();
    let excluded: Vec<&str> = excluded.iter().map(String::as_str).collect();
    let mut found = Vec::new();
    for text in checked() {
        found.extend(uses(&text, &excluded).into_iter().map(|(place, synonym)| format!("{place}: {synonym}")));
    }
    assert!(found.is_empty(), "{GLOSSARY} has other words for these:\n{}", found.join("\n"));
}

#[test]
fn every_foreign_name_is_still_used() {
    let texts = checked();
    for (name, reason) in FOREIGN_NAMES {
        let is_elsewhere = |text: &Document| !text.path.ends_with("documents/glossary.rs");
        let is_used = texts.iter().any(|text| is_elsewhere(text) && text.text.contains(name));
        assert!(is_used, "no text has {name} any more ({reason}): take it from the list");
    }
}

#[test]
fn a_synonym_is_found_as_a_word_and_not_as_a_part_of_one() {
    let synonyms = excluded();
    assert!(synonyms.len() > 20, "only {} synonyms found", synonyms.len());
    for synonym in &synonyms {
        let text = format!("It has one {synonym}.\nTwo {synonym}s\nnot {synonym}_x or x{synonym}\n");
        let document = Document { path: "src/x.rs".into(), text };
        let found = uses(&document, &[synonym]);
        assert_eq!(found, [("src/x.rs:1".to_owned(), &**synonym), ("src/x.rs:2".to_owned(), synonym)]);
    }
    assert!(has_word("A Riddle", "riddle") && !has_word("a riddle", "RIDDLE"), "only capitals are held to their case");
}

/// Words that hide the actor, in two parts, so that this file does not contain them.
const HIDDEN_ACTORS: [[&str; 2]; 4] = [["who", "ever"], ["no", "body"], ["some", "body"], ["every", "body"]];

/// The lines that may have one of them: a file, a part of the line without the word, and the reason. Fewer than ten.
const KEPT_ACTORS: [(&str, &str, &str); 2] = [
    ("tests/it/harness/postgres.rs", "guard and the server run as the user", "the user of Unix systems"),
    ("tests/it/harness/postgres.rs", r#"user("postgres").or_else("#, "the user of Unix systems"),
];

#[test]
fn texts_name_the_actor() {
    let words = HIDDEN_ACTORS.map(|parts| parts.concat());
    let words = words.each_ref().map(String::as_str);
    assert!(KEPT_ACTORS.len() < 10, "too many exceptions");
    let mut used = vec![false; KEPT_ACTORS.len()];
    let mut found = Vec::new();
    for text in checked() {
        for (place, word) in uses(&text, &words) {
            let number: usize = place.rsplit(':').next().and_then(|number| number.parse().ok()).expect("a line");
            let line = text.text.lines().nth(number - 1).unwrap_or_default();
            let kept = KEPT_ACTORS.iter().position(|(path, part, _)| text.path.ends_with(path) && line.contains(part));
            match kept {
                Some(index) => used[index] = true,
                None => found.push(format!("{place}: {word}: {}", line.trim())),
            }
        }
    }
    assert!(found.is_empty(), "name the client, the service, the person ...:\n{}", found.join("\n"));
    assert!(used.iter().all(|used| *used), "an exception is not needed any more");
}
