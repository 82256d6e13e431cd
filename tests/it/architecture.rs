//! Dependencies within the library point one way, and each outside world has one door. Both are read off the sources, so
//! that a shortcut fails here and not in a review.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// What each part of `src` may name of the others.
const PARTS: [(&str, &[&str]); 18] = [
    ("clock", &[]),
    ("entropy", &[]),
    ("outbound", &[]),
    ("crypto", &[]),
    ("domain", &["crypto"]),
    ("store", &["crypto", "domain"]),
    ("sms", &["crypto", "domain", "outbound"]),
    ("fraud", &["domain", "outbound"]),
    ("auth", &["clock", "domain", "outbound"]),
    ("service", &["clock", "crypto", "domain", "entropy", "fraud", "sms", "store"]),
    ("api", &["auth", "crypto", "domain", "service", "store"]),
    ("background", &["auth", "entropy", "service"]),
    ("server", &["api", "background"]),
    // The top: these may name whatever they put together.
    ("config", &["api", "auth", "crypto", "domain", "fraud", "outbound", "server", "service", "sms", "store"]),
    ("app", &["api", "auth", "clock", "config", "crypto", "entropy", "fraud", "outbound", "service", "sms", "store"]),
    ("telemetry", &["config"]),
    ("cli", &["app", "clock", "config", "domain", "entropy", "outbound", "server", "service", "store", "telemetry"]),
    ("main", &[]),
];

/// Crates that only some parts may name: whoever else needs what they do asks one of these.
const DOORS: [(&str, &[&str]); 17] = [
    ("axum", &["api", "server"]),
    ("hyper_util", &["server"]),
    ("http_body_util", &["api"]),
    ("tower", &["api"]),
    ("sqlx", &["store"]),
    ("macro_rules_attribute", &["store"]),
    ("reqwest", &["app", "auth", "cli", "fraud", "outbound", "sms"]),
    ("tokio", &["api", "auth", "background", "cli", "fraud", "main", "server", "sms", "store"]),
    ("tokio_util", &["api", "app", "background", "server"]),
    ("jsonwebtoken", &["auth"]),
    ("p256", &["crypto"]),
    ("aws_lc_rs", &["crypto"]),
    ("rlibphonenumber", &["domain"]),
    ("rand", &["entropy"]),
    ("toml", &["config"]),
    ("clap", &["cli", "main"]),
    ("anyhow", &["cli"]),
];

/// Whether one part of the library may name another.
pub(crate) fn may_name(part: &str, named: &str) -> bool {
    PARTS.iter().any(|(name, known)| *name == part && known.contains(&named))
}

/// Longer files are split by concept.
const LINES_MAX: usize = 400;

/// A line of code in a part of the library.
struct Line {
    part: String,
    place: String,
    code: String,
}

#[test]
fn no_part_names_one_that_it_must_not_know() {
    let mut wrong = Vec::new();
    for line in code() {
        let known = PARTS.iter().find(|(part, _)| *part == line.part).map_or(&[][..], |(_, known)| known);
        for named in paths_below("crate", &line.code) {
            if named != line.part && !known.contains(&named) {
                wrong.push(format!("{} names {named}: {}", line.place, line.code));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_outside_world_has_its_doors() {
    let mut wrong = Vec::new();
    for line in code() {
        for (name, doors) in DOORS {
            if names(name, &line.code) && !doors.contains(&&*line.part) {
                wrong.push(format!("{} names {name}: {}", line.place, line.code));
            }
        }
        if line.code.contains("Utc::now") && line.part != "clock" {
            wrong.push(format!("{} takes the time instead of asking the clock", line.place));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_path_climbs_out_of_its_part() {
    for line in code() {
        // `super` of a part's own `mod.rs` is the whole library, and so is `super::super` of its files.
        let own_mod = line.place.starts_with(&format!("src/{}/mod.rs:", line.part));
        let climbs = line.code.contains("super::super::") || (own_mod && line.code.starts_with("use super::"));
        assert!(!climbs, "{}: write crate:: instead, so that the table sees it: {}", line.place, line.code);
    }
}

#[test]
fn the_tables_speak_of_what_is_there() {
    let lines = code();
    let parts: BTreeSet<&str> = lines.iter().map(|line| &*line.part).collect();
    assert_eq!(parts, PARTS.iter().map(|(part, _)| *part).collect());
    for (name, doors) in DOORS {
        for door in doors {
            let comes_in = lines.iter().any(|line| line.part == *door && names(name, &line.code));
            assert!(comes_in, "{door} does not name {name} any more: close the door");
        }
    }
}

#[test]
fn no_file_is_too_long_to_be_about_one_thing() {
    let mut seen = 0;
    for (place, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= LINES_MAX, "{place} has {lines} lines");
        seen += 1;
    }
    assert!(seen > 50, "only {seen} files found: the walk has lost its way");
}

/// All lines of the library and its binary but comments.
fn code() -> Vec<Line> {
    let mut lines = Vec::new();
    for (place, text) in sources() {
        let part = place.split('/').next().unwrap_or_default().trim_end_matches(".rs").to_owned();
        if part == "lib" {
            continue;
        }
        for (index, line) in text.lines().enumerate() {
            if !line.trim_start().starts_with("//") {
                let place = format!("src/{place}:{}", index + 1);
                lines.push(Line { part: part.clone(), place, code: line.to_owned() });
            }
        }
    }
    lines
}

/// Every source file by its path below `src`.
pub(crate) fn sources() -> Vec<(String, String)> {
    fn collect(folder: &Path, root: &Path, found: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(folder).expect("the sources are there") {
            let path = entry.expect("a readable folder").path();
            if path.is_dir() {
                collect(&path, root, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let place = path.strip_prefix(root).expect("below the root").display().to_string();
                found.push((place, fs::read_to_string(&path).expect("Rust is text")));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    collect(&root, &root, &mut found);
    found.sort_unstable();
    found
}

/// What follows `root::` in a line.
fn paths_below<'a>(root: &str, code: &'a str) -> Vec<&'a str> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let marker = format!("{root}::");
    let starts_word = |at: usize| !code[..at].ends_with(|c: char| is_word(c) || c == ':' || c == '$');
    code.match_indices(&marker)
        .filter(|(at, _)| starts_word(*at))
        .map(|(at, _)| {
            let rest = &code[at + marker.len()..];
            &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())]
        })
        .collect()
}

/// Whether a line names a crate.
fn names(name: &str, code: &str) -> bool {
    !paths_below(name, code).is_empty()
        || code.trim_start().starts_with(&format!("use {name};"))
        || code.contains(&format!("use {name} as "))
}

#[test]
fn the_reader_of_sources_sees_what_it_should() {
    assert_eq!(paths_below("crate", "use crate::store::Store;"), ["store"]);
    assert_eq!(paths_below("crate", "    let x: crate::domain::Y = crate::crypto::z();"), ["domain", "crypto"]);
    assert_eq!(paths_below("crate", "use some_crate::thing; $crate::x; other::crate::y"), Vec::<&str>::new());
    assert!(names("axum", "    async fn f(x: axum::Json<T>)") && names("axum", "use axum;"));
    assert!(!names("axum", "use axum_extra::x; // not axum") && !names("tower", "tower_http::x"));
}
