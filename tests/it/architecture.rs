//! Layering rules, checked on the text of the sources: which modules of `src` may import which others, which modules
//! may import which crates, and the maximum length of a file.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The top-level modules of `src`, and the others that each may import.
const PARTS: [(&str, &[&str]); 21] = [
    ("clock", &[]),
    ("entropy", &[]),
    ("finding", &[]),
    ("outbound", &[]),
    ("traces", &["outbound"]),
    ("crypto", &[]),
    ("domain", &["crypto"]),
    ("store", &["crypto", "domain", "finding", "traces"]),
    ("sms", &["crypto", "domain", "outbound", "traces"]),
    ("fraud", &["domain", "outbound", "traces"]),
    ("sandbox", &["clock", "domain", "sms"]),
    ("auth", &["clock", "domain", "outbound", "traces"]),
    ("service", &["clock", "crypto", "domain", "entropy", "fraud", "sandbox", "sms", "store"]),
    ("background", &["auth", "entropy", "service"]),
    ("api", &["auth", "background", "clock", "crypto", "domain", "sandbox", "service", "store", "traces"]),
    ("server", &["api", "background"]),
    // The top of the layering: these assemble the others.
    (
        "config",
        &["api", "auth", "crypto", "domain", "fraud", "outbound", "server", "service", "sms", "store", "traces"],
    ),
    (
        "app",
        &[
            "api", "auth", "clock", "config", "crypto", "entropy", "fraud", "outbound", "sandbox", "service", "sms",
            "store", "traces",
        ],
    ),
    ("telemetry", &["config", "domain", "traces"]),
    (
        "cli",
        &[
            "app",
            "auth",
            "clock",
            "config",
            "crypto",
            "domain",
            "entropy",
            "finding",
            "outbound",
            "server",
            "service",
            "sms",
            "store",
            "telemetry",
        ],
    ),
    ("main", &[]),
];

/// Crates that only some modules may import. Other modules use those modules instead.
const RESTRICTED_CRATES: [(&str, &[&str]); 21] = [
    ("axum", &["api", "server"]),
    ("hyper_util", &["server"]),
    ("http_body_util", &["api"]),
    ("tower", &["api"]),
    ("sqlx", &["store"]),
    ("macro_rules_attribute", &["store"]),
    ("reqwest", &["app", "auth", "cli", "config", "fraud", "outbound", "sms", "traces"]),
    ("tokio", &["api", "auth", "background", "cli", "fraud", "main", "outbound", "server", "sms", "store", "traces"]),
    ("tokio_util", &["api", "app", "background", "server", "traces"]),
    ("opentelemetry", &["traces"]),
    ("opentelemetry_sdk", &["traces"]),
    ("opentelemetry_proto", &["traces"]),
    ("prost", &["traces"]),
    ("jsonwebtoken", &["auth"]),
    ("p256", &["crypto"]),
    ("aws_lc_rs", &["crypto"]),
    ("rlibphonenumber", &["domain"]),
    ("rand", &["entropy"]),
    ("toml", &["config"]),
    ("clap", &["cli", "main"]),
    ("anyhow", &["cli"]),
];

/// Whether one module of the library may import another.
pub(crate) fn may_name(part: &str, named: &str) -> bool {
    PARTS.iter().any(|(name, known)| *name == part && known.contains(&named))
}

/// The maximum number of lines of a file; longer files are split by concept.
const LINES_MAX: usize = 400;

/// A line of code, with its top-level module and its file and line number.
struct Line {
    part: String,
    place: String,
    code: String,
}

#[test]
fn no_module_imports_one_above_its_layer() {
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
fn restricted_crates_are_imported_only_where_allowed() {
    let mut wrong = Vec::new();
    for line in code() {
        for (name, modules) in RESTRICTED_CRATES {
            if names(name, &line.code) && !modules.contains(&&*line.part) {
                wrong.push(format!("{} names {name}: {}", line.place, line.code));
            }
        }
        if line.code.contains("Utc::now") && line.part != "clock" {
            wrong.push(format!("{} calls Utc::now instead of the injected clock", line.place));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_super_path_leaves_its_module() {
    for line in code() {
        // `super` in a module's `mod.rs` is the crate root, and so is `super::super` in its files.
        let own_mod = line.place.starts_with(&format!("src/{}/mod.rs:", line.part));
        let climbs = line.code.contains("super::super::") || (own_mod && line.code.starts_with("use super::"));
        assert!(!climbs, "{}: write crate:: instead, so that these tests see it: {}", line.place, line.code);
    }
}

#[test]
fn the_tables_have_no_obsolete_rows() {
    let lines = code();
    let parts: BTreeSet<&str> = lines.iter().map(|line| &*line.part).collect();
    assert_eq!(parts, PARTS.iter().map(|(part, _)| *part).collect());
    for (name, modules) in RESTRICTED_CRATES {
        for module in modules {
            let imports = lines.iter().any(|line| line.part == *module && names(name, &line.code));
            assert!(imports, "{module} no longer imports {name}: remove it from the table");
        }
    }
}

#[test]
fn no_file_exceeds_the_line_limit() {
    let mut seen = 0;
    for (place, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= LINES_MAX, "{place} has {lines} lines");
        seen += 1;
    }
    assert!(seen > 50, "only {seen} files found");
}

/// All lines of the library and its binary, without comment lines.
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
        for entry in fs::read_dir(folder).expect("the folder exists") {
            let path = entry.expect("a readable folder").path();
            if path.is_dir() {
                collect(&path, root, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let place = path.strip_prefix(root).expect("below the root").display().to_string();
                found.push((place, fs::read_to_string(&path).expect("a source file is UTF-8")));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    collect(&root, &root, &mut found);
    found.sort_unstable();
    found
}

/// The path segments after `root::` in a line.
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

/// Whether a line imports or names a crate.
fn names(name: &str, code: &str) -> bool {
    !paths_below(name, code).is_empty()
        || code.trim_start().starts_with(&format!("use {name};"))
        || code.contains(&format!("use {name} as "))
}

#[test]
fn paths_and_crate_names_are_found_in_lines_of_code() {
    assert_eq!(paths_below("crate", "use crate::store::Store;"), ["store"]);
    assert_eq!(paths_below("crate", "    let x: crate::domain::Y = crate::crypto::z();"), ["domain", "crypto"]);
    assert_eq!(paths_below("crate", "use some_crate::thing; $crate::x; other::crate::y"), Vec::<&str>::new());
    assert!(names("axum", "    async fn f(x: axum::Json<T>)") && names("axum", "use axum;"));
    assert!(!names("axum", "use axum_extra::x; // not axum") && !names("tower", "tower_http::x"));
}
