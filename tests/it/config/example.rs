//! `config.example.toml` tells the truth: every setting is in it, with its variable, its purpose and its default.

use std::collections::BTreeMap;

use device_management::config::{Config, Origin};

use super::production::PRODUCTION;
use super::{load, load_with_file, problems};

const EXAMPLE: &str = include_str!("../../../config.example.toml");

/// Stands where there is no default.
const NONE: &str = "...";

/// One setting of the example.
struct Entry {
    /// The prose above it.
    comment: String,
    /// What it says the default is, as TOML.
    default: &'static str,
}

impl Entry {
    /// What it says the default is in the sandbox.
    fn sandbox_default(&self) -> Option<String> {
        text(self.default)
    }

    /// What it says the default is in production: the same, unless the comment names another.
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
        _ => panic!("{value} is no setting's value"),
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
            assert!(entries.insert(name.to_ascii_uppercase(), entry).is_none(), "{name} stands there twice");
        } else {
            comment.clear();
        }
    }
    entries
}

/// What the example says about every setting.
fn told(default: fn(&Entry) -> Option<String>) -> BTreeMap<String, Option<String>> {
    entries().iter().map(|(name, entry)| (name.clone(), default(entry))).collect()
}

/// The defaults that are in force when only `variables` are set; those are left out.
fn in_force(variables: &[(&str, &str)]) -> BTreeMap<String, Option<String>> {
    let config = load(variables).unwrap();
    let defaults = config.shown.into_iter().filter(|shown| shown.origin == Origin::Default);
    defaults.map(|shown| (shown.name.to_owned(), shown.value)).collect()
}

/// The file with the `#` taken from every default.
fn uncommented() -> String {
    let entries = entries();
    let settings = entries.iter().filter(|(_, entry)| entry.sandbox_default().is_some());
    let lines = settings.map(|(name, entry)| format!("{} = {}", name.to_ascii_lowercase(), entry.default));
    lines.collect::<Vec<_>>().join("\n")
}

fn values(config: &Config) -> Vec<(&str, Option<&str>)> {
    // A database's URL is a secret once somebody sets it.
    let shown = config.shown.iter().filter(|shown| shown.name != "DATABASE_URL");
    shown.map(|shown| (shown.name, shown.value.as_deref())).collect()
}

#[test]
fn every_setting_stands_in_the_example_with_its_default() {
    assert_eq!(told(Entry::sandbox_default), in_force(&[]));
}

#[test]
fn the_example_says_where_production_has_another_default() {
    let mut told = told(Entry::production_default);
    told.retain(|name, _| PRODUCTION.iter().all(|(set, _)| set != name));
    assert_eq!(told, in_force(&PRODUCTION));
}

#[test]
fn each_setting_is_explained_under_the_name_of_its_variable() {
    for (name, entry) in entries() {
        let (head, purpose) = entry.comment.split_once(": ").unwrap_or_else(|| panic!("{name} has no purpose"));
        assert!(head == name || entry.is_secret(&name), "{head} stands above {name}");
        assert!(purpose.len() > 10, "{name} has no purpose");
    }
}

#[test]
fn the_settings_marked_as_secret_are_those_that_can_stand_in_a_file_of_their_own() {
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
fn a_copy_with_every_default_switched_on_changes_nothing_either() {
    let config = load_with_file(&[], &uncommented()).unwrap();
    assert_eq!(values(&config), values(&load(&[]).unwrap()));
    assert!(config.shown.iter().all(|shown| (shown.origin == Origin::File) == shown.value.is_some()));
}
