//! Where a setting's text comes from: the environment, a secret's file, or the optional TOML file; and what was wrong with
//! it. Reading goes on after a fault, so that the operator sees all of them at once.

use std::fmt;
use std::path::Path;

use secrecy::SecretString;

/// Looks up a variable of the environment.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// One thing to mend before the service starts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The setting.
    pub setting: String,
    /// What to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.setting, self.message)
    }
}

/// Where a setting's value came from; what comes later here wins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The TOML file.
    File,
    /// The environment, or a file that it names.
    Environment,
}

/// A setting as `config print` shows it: a secret only as set or not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shown {
    /// The variable's name; lower-case in the file.
    pub name: &'static str,
    /// The value; `None` when there is none.
    pub value: Option<String>,
    /// Where it came from.
    pub origin: Origin,
}

/// Reads settings one by one.
pub(super) struct Source<'a> {
    environment: Environment<'a>,
    file: toml::Table,
    shown: Vec<Shown>,
    secrets: Vec<&'static str>,
    problems: Vec<Problem>,
}

impl<'a> Source<'a> {
    pub(super) fn new(environment: Environment<'a>, file: Option<&Path>) -> Self {
        let (shown, secrets, problems) = (Vec::new(), Vec::new(), Vec::new());
        let mut source = Self { environment, file: toml::Table::new(), shown, secrets, problems };
        if let Some(path) = file {
            match std::fs::read_to_string(path).map_err(|error| error.to_string()).and_then(|text| parse_toml(&text)) {
                Ok(table) => source.file = table,
                Err(error) => source.problem(&path.display().to_string(), format!("cannot be used: {error}")),
            }
        }
        source
    }

    /// A setting with a default.
    pub(super) fn value<T, E: fmt::Display>(
        &mut self,
        name: &'static str,
        default: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> T {
        let (text, origin) = self.find(name).unwrap_or((default.to_owned(), Origin::Default));
        let parsed = parse(&text);
        self.shown.push(Shown { name, value: Some(text), origin });
        parsed.unwrap_or_else(|error| {
            self.problem(name, error.to_string());
            let Ok(value) = parse(default) else { unreachable!("the default of {name} is valid") };
            value
        })
    }

    /// A setting that may be left out.
    pub(super) fn optional<T, E: fmt::Display>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        let found = self.find(name);
        let origin = found.as_ref().map_or(Origin::Default, |(_, origin)| *origin);
        let text = found.map(|(text, _)| text);
        let parsed = text.as_deref().map(parse);
        self.shown.push(Shown { name, value: text, origin });
        parsed?.map_err(|error| self.problem(name, error.to_string())).ok()
    }

    /// A secret that may be left out: in `NAME`, or in the file that `NAME_FILE` names. Never shown.
    pub(super) fn secret(&mut self, name: &'static str) -> Option<SecretString> {
        let file_name = format!("{name}_FILE");
        let (text, file) = (self.find(name), self.find(&file_name));
        // The environment comes before the TOML file, whichever of the two names it uses.
        let text_origin = text.as_ref().map(|(_, origin)| *origin);
        let found = match file.filter(|(_, origin)| text_origin.is_none_or(|text_origin| *origin > text_origin)) {
            Some((path, origin)) => self.read(&file_name, &path).map(|text| (text, origin)),
            None => text,
        };
        let origin = found.as_ref().map_or(Origin::Default, |(_, origin)| *origin);
        self.shown.push(Shown { name, value: found.as_ref().map(|_| "<secret>".to_owned()), origin });
        self.secrets.push(name);
        let (text, _) = found?;
        if text.is_empty() {
            self.problem(name, "must not be empty: leave it out instead");
            return None;
        }
        Some(text.into())
    }

    /// The same with a default, which everybody may see.
    pub(super) fn secret_or(&mut self, name: &'static str, default: &str) -> SecretString {
        self.secret(name).unwrap_or_else(|| {
            if let Some(shown) = self.shown.last_mut().filter(|shown| shown.origin == Origin::Default) {
                shown.value = Some(default.to_owned());
            }
            default.into()
        })
    }

    fn read(&mut self, file_name: &str, path: &str) -> Option<String> {
        match std::fs::read_to_string(path) {
            // Editors and `echo` end a file with a line break that is not part of the secret.
            Ok(text) => Some(text.trim_end_matches(['\r', '\n']).to_owned()),
            Err(error) => {
                self.problem(file_name, format!("names a file that cannot be read: {error}"));
                None
            }
        }
    }

    pub(super) fn problem(&mut self, setting: &str, message: impl Into<String>) {
        self.problems.push(Problem { setting: setting.to_owned(), message: message.into() });
    }

    /// Whether something is wrong with a setting.
    pub(super) fn has_problem(&self, setting: &str) -> bool {
        self.problems.iter().any(|problem| problem.setting == setting)
    }

    /// What was read, and everything that was wrong. Keys of the file that nobody asks for are misspelt.
    pub(super) fn finish(mut self) -> (Vec<Shown>, Vec<Problem>) {
        let is_setting = |name: &str| self.shown.iter().any(|shown| shown.name == name);
        let is_secret = |name: &str| self.secrets.contains(&name);
        let mut problems = Vec::new();
        for key in self.file.keys() {
            let name = key.to_ascii_uppercase();
            if !is_setting(&name) && !name.strip_suffix("_FILE").is_some_and(is_secret) {
                problems.push((key.clone(), "is not a setting"));
            } else if key.contains(|c: char| c.is_ascii_uppercase()) {
                problems.push((key.clone(), "must be written in lower case in the file"));
            }
        }
        for (key, message) in problems {
            self.problem(&key, message);
        }
        (self.shown, self.problems)
    }

    /// The environment comes before the file; an empty variable counts as not set, as container tools write it.
    fn find(&mut self, name: &str) -> Option<(String, Origin)> {
        if let Some(text) = (self.environment)(name).filter(|text| !text.is_empty()) {
            return Some((text, Origin::Environment));
        }
        let text = match self.file.get(&name.to_ascii_lowercase())? {
            toml::Value::String(text) => text.clone(),
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(value) => value.to_string(),
            _ => {
                self.problem(&name.to_ascii_lowercase(), "must be a string, a whole number or a boolean");
                return None;
            }
        };
        Some((text, Origin::File))
    }
}

/// The parser's own message quotes the line, which may hold a secret: only the place is passed on.
fn parse_toml(text: &str) -> Result<toml::Table, String> {
    text.parse::<toml::Table>().map_err(|error| {
        let line = error.span().map_or(0, |span| text[..span.start].lines().count().max(1));
        format!("line {line} is not valid TOML")
    })
}
