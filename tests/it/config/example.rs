//! `config.example.toml` is complete: it has every setting, with its variable, its purpose and its default.

use std::collections::BTreeMap;

use device_management::config::{Config, Origin};

use super::production::PRODUCTION;
use super::{load, load_with_file, problems};

const EXAMPLE: &str = include_str!("../../../config.example.toml");

/// The placeholder for a setting without a default.
const NONE: &str = "...";

/// One setting of the example.
struct Entry {
    /// The comment above it.
    comment: String,
    /// The documented default, as TOML.
    default: &'static str,
}

impl Entry {
    /// The documented default in the sandbox.
    fn sandbox_default(&self) -> Option<String> {
        text(self.default)
    }

    /// The documented default in production: that of the sandbox, unless the comment names another.
    fn production_default(&self) -> Option<String> {
        let Some((_, value)) = self.comment.split_once("In production: ") else { return self.sandbox_default() };
        let value = value.split_whitespace().next().expect("a value follows");
        text(value.strip_suffix('.').unwrap_or(value))
    }

    fn is_secret(&self, name: &str) -> bool {
        self.comment.starts_with(&format!("{name} (secret): "))
    }
}

/// A TOML value as the text of a setting.
fn text(value: &str) -> Option<String> {
    let table: toml::Table = format!("it = {value}").parse().unwrap_or_else(|error| panic!("{value}: {error}"));
    match &table["it"] {
        toml::Value::String(text) => Some(text.clone()).filter(|text| text != NONE),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(word) => Some(word.to_string()),
        _ => panic!("{value} is not a string, an integer or a boolean"),
    }
}

/// The settings of the example by the names of their variables.
fn entries() -> BTreeMap<String, Entry> {
    let mut entries = BTreeMap::new();
    let mut comment = String::new();
    for line in EXAMPLE.lines() {
        if let Some(prose) = line.strip_prefix("# ") {
            comment.extend([prose, " "]);
        } else if let Some((name, default)) = line.strip_prefix('#').and_then(|setting| setting.split_once(" = ")) {
            let entry = Entry { comment: std::mem::take(&mut comment), default };
            assert!(entries.insert(name.to_ascii_uppercase(), entry).is_none(), "{name} is there twice");
        } else {
            comment.clear();
        }
    }
    entries
}

/// The documented default of every setting.
fn documented(default: fn(&Entry) -> Option<String>) -> BTreeMap<String, Option<String>> {
    entries().iter().map(|(name, entry)| (name.clone(), default(entry))).collect()
}

/// The effective defaults when only `variables` are set, without those variables.
fn in_force(variables: &[(&str, &str)]) -> BTreeMap<String, Option<String>> {
    let config = load(variables).unwrap();
    let defaults = config.shown.into_iter().filter(|shown| shown.origin == Origin::Default);
    defaults.map(|shown| (shown.name.to_owned(), shown.value)).collect()
}

/// The file with every default uncommented.
fn uncommented() -> String {
    let entries = entries();
    let settings = entries.iter().filter(|(_, entry)| entry.sandbox_default().is_some());
    let lines = settings.map(|(name, entry)| format!("{} = {}", name.to_ascii_lowercase(), entry.default));
    lines.collect::<Vec<_>>().join("\n")
}

fn values(config: &Config) -> Vec<(&str, Option<&str>)> {
    // A configured database URL is shown as a secret.
    let shown = config.shown.iter().filter(|shown| shown.name != "DATABASE_URL");
    shown.map(|shown| (shown.name, shown.value.as_deref())).collect()
}

#[test]
fn the_example_has_every_setting_with_its_default() {
    assert_eq!(documented(Entry::sandbox_default), in_force(&[]));
}

#[test]
fn the_example_names_the_defaults_of_production() {
    let mut documented = documented(Entry::production_default);
    documented.retain(|name, _| PRODUCTION.iter().all(|(set, _)| set != name));
    assert_eq!(documented, in_force(&PRODUCTION));
}

#[test]
fn each_setting_is_explained_under_the_name_of_its_variable() {
    for (name, entry) in entries() {
        let (head, purpose) = entry.comment.split_once(": ").unwrap_or_else(|| panic!("{name} has no purpose"));
        assert!(head == name || entry.is_secret(&name), "the comment above {name} begins with {head}");
        assert!(purpose.len() > 10, "{name} has no purpose");
    }
}

#[test]
fn the_settings_marked_as_secret_are_those_that_a_file_can_hold() {
    let entries = entries();
    let files = entries.keys().map(|name| format!("{}_file = \"/no/such/file\"\n", name.to_ascii_lowercase()));
    let problems = problems(&[], &files.collect::<String>());
    for (name, entry) in &entries {
        let expected = if entry.is_secret(name) {
            format!("{name}_FILE names a file that cannot be read")
        } else {
            format!("{}_file is not a setting", name.to_ascii_lowercase())
        };
        assert!(problems.iter().any(|problem| problem.starts_with(&expected)), "{expected}: {problems:#?}");
    }
    assert_eq!(problems.len(), entries.len());
}

#[test]
fn a_copy_of_the_example_changes_nothing() {
    assert_eq!(load_with_file(&[], EXAMPLE).unwrap().shown, load(&[]).unwrap().shown);
}

#[test]
fn a_copy_with_every_default_uncommented_changes_nothing() {
    let config = load_with_file(&[], &uncommented()).unwrap();
    assert_eq!(values(&config), values(&load(&[]).unwrap()));
    assert!(config.shown.iter().all(|shown| (shown.origin == Origin::File) == shown.value.is_some()));
}
