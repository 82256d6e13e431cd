//! Reads the text of a setting from the environment, a secret's file, or the optional TOML file, and collects problems.
//! Reading continues after a problem, so that the operator sees all of them in one run. `text` has the rules of the
//! text.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use super::text::clean;

/// The environment variables, including those whose value is not UTF-8.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<OsString, OsString>);

/// Shows names only: values may be secrets.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// The last value of a name wins.
impl<N: Into<OsString>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl Environment {
    /// The text of a variable; `None` when it is not set or empty.
    fn text(&self, name: &str) -> Result<Option<&str>, &'static str> {
        self.0.get(OsStr::new(name)).map_or(Ok(None), |value| clean(value.as_encoded_bytes()))
    }

    /// Whether a variable is set, even if empty.
    fn has(&self, name: &str) -> bool {
        self.0.contains_key(OsStr::new(name))
    }
}

/// A problem in the configuration, for the operator to fix.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The setting.
    pub setting: String,
    /// What is wrong and how to fix it.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.setting, self.message)
    }
}

/// Where a setting's value came from, in ascending order of precedence.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Origin {
    /// Not set.
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
    environment: &'a Environment,
    file: toml::Table,
    shown: Vec<Shown>,
    secrets: Vec<Secret>,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
}

/// A secret setting, set or not.
struct Secret {
    name: &'static str,
    value: Option<SecretString>,
    /// The file that it was read from, if any.
    file: Option<PathBuf>,
}

/// Variables of other programs that share a prefix with settings; so do all that begin with `RUST_`.
const OTHER_PROGRAMS: [&str; 2] = ["HTTP_PROXY", "REQUESTS_CA_BUNDLE"];

/// The variable that names the TOML file when the command line does not.
const CONFIG_FILE: &str = "CONFIG_FILE";

impl<'a> Source<'a> {
    pub(super) fn new(environment: &'a Environment, file: Option<&Path>) -> Self {
        let mut source = Self {
            environment,
            file: toml::Table::new(),
            shown: Vec::new(),
            secrets: Vec::new(),
            problems: Vec::new(),
            warnings: Vec::new(),
        };
        let named = match environment.text(CONFIG_FILE) {
            Ok(name) => name.map(Path::new),
            Err(fault) => {
                source.problem(CONFIG_FILE, fault);
                None
            }
        };
        if let Some(path) = file.or(named) {
            match std::fs::read(path).map_err(|error| error.to_string()).and_then(|bytes| parse_toml(&bytes)) {
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

    /// An optional setting.
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

    /// An optional secret: from `NAME`, or from the file that `NAME_FILE` names. Never shown.
    pub(super) fn secret(&mut self, name: &'static str) -> Option<SecretString> {
        let file_name = format!("{name}_FILE");
        let (text, file) = (self.find(name), self.find(&file_name));
        // The environment takes precedence over the TOML file, for both names.
        let text_origin = text.as_ref().map(|(_, origin)| *origin);
        let file = file.filter(|(_, origin)| text_origin.is_none_or(|text_origin| *origin > text_origin));
        let (found, file) = match file {
            Some((path, origin)) => {
                let text = self.read(name, &file_name, &path);
                (text.map(|text| (text, origin)), Some(PathBuf::from(path)))
            }
            None => (text, None),
        };
        let origin = found.as_ref().map_or(Origin::Default, |(_, origin)| *origin);
        self.shown.push(Shown { name, value: found.as_ref().map(|_| "<secret>".to_owned()), origin });
        let value = found.map(|(text, _)| SecretString::from(text));
        self.secrets.push(Secret { name, value: value.clone(), file });
        value
    }

    /// The same with a default, which is not secret.
    pub(super) fn secret_or(&mut self, name: &'static str, default: &str) -> SecretString {
        self.secret(name).unwrap_or_else(|| {
            if let Some(shown) = self.shown.last_mut().filter(|shown| shown.origin == Origin::Default) {
                shown.value = Some(default.to_owned());
            }
            default.into()
        })
    }

    /// The file that a secret was read from.
    pub(super) fn file_of(&self, name: &str) -> Option<PathBuf> {
        self.secrets.iter().find(|secret| secret.name == name)?.file.clone()
    }

    /// Reports secrets that are used for two purposes. A secret and its `_PREVIOUS` have the same purpose, as have the
    /// headers for spans and for all signals.
    pub(super) fn check_that_secrets_differ(&mut self) {
        fn purpose(name: &str) -> String {
            name.strip_suffix("_PREVIOUS").unwrap_or(name).replace("_OTLP_TRACES_", "_OTLP_")
        }
        let text = |secret: &'_ Secret| secret.value.as_ref().map(|value| value.expose_secret().to_owned());
        let mut equal = Vec::new();
        for (index, later) in self.secrets.iter().enumerate() {
            let same = self.secrets[..index].iter().find(|earlier| {
                purpose(earlier.name) != purpose(later.name) && later.value.is_some() && text(earlier) == text(later)
            });
            equal.extend(same.map(|earlier| (later.name, earlier.name)));
        }
        for (later, earlier) in equal {
            self.problem(later, format!("must not be the same as {earlier}"));
        }
    }

    /// Whether a setting was given a value, valid or not.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.has_problem(name) || self.shown.iter().any(|shown| shown.name == name && shown.origin != Origin::Default)
    }

    /// Whether an environment variable is set, but empty.
    pub(super) fn is_empty_variable(&self, name: &str) -> bool {
        self.environment.has(name) && matches!(self.environment.text(name), Ok(None))
    }

    fn read(&mut self, name: &str, file_name: &str, path: &str) -> Option<String> {
        match std::fs::read(path).map(|bytes| clean(&bytes).map(|text| text.map(str::to_owned))) {
            Ok(Ok(Some(text))) => return Some(text),
            Ok(Ok(None)) => self.problem(name, "must not be empty: leave it out instead"),
            Ok(Err(fault)) => self.problem(name, fault),
            Err(error) => self.problem(file_name, format!("names a file that cannot be read: {error}")),
        }
        None
    }

    /// Records a problem that does not prevent the start.
    pub(super) fn warning(&mut self, setting: &str, message: impl Into<String>) {
        self.warnings.push(Problem { setting: setting.to_owned(), message: message.into() });
    }

    pub(super) fn problem(&mut self, setting: &str, message: impl Into<String>) {
        self.problems.push(Problem { setting: setting.to_owned(), message: message.into() });
    }

    /// Turns the problems of a setting into warnings: the value is ignored.
    pub(super) fn ignore_if_invalid(&mut self, setting: &str) {
        let (invalid, others): (Vec<_>, _) =
            std::mem::take(&mut self.problems).into_iter().partition(|problem| problem.setting == setting);
        self.problems = others;
        for Problem { setting, message } in invalid {
            self.warning(&setting, format!("{message}; the value is ignored"));
        }
    }

    /// Shows another text than the value that was read, of which a part may be secret.
    pub(super) fn show(&mut self, name: &str, text: String) {
        if let Some(shown) = self.shown.iter_mut().find(|shown| shown.name == name) {
            shown.value = Some(text);
        }
    }

    /// Whether a setting has a problem.
    pub(super) fn has_problem(&self, setting: &str) -> bool {
        self.problems.iter().any(|problem| problem.setting == setting)
    }

    /// Returns the settings and all problems. An unknown key in the file is a problem; an unknown variable with the
    /// prefix of a setting is a warning.
    pub(super) fn finish(mut self) -> Read {
        let is_setting = |name: &str| self.shown.iter().any(|shown| shown.name == name);
        let is_secret = |name: &str| self.secrets.iter().any(|secret| secret.name == name);
        let is_known = |name: &str| is_setting(name) || name.strip_suffix("_FILE").is_some_and(is_secret);
        let mut problems = Vec::new();
        for key in self.file.keys() {
            if !is_known(&key.to_ascii_uppercase()) {
                problems.push((key.clone(), "is not a setting"));
            } else if key.contains(|c: char| c.is_ascii_uppercase()) {
                problems.push((key.clone(), "must be written in lower case in the file"));
            }
        }
        let has_a_settings_prefix = |name: &str| {
            let prefix = |name: &str| name.split_once('_').map(|(prefix, _)| prefix.to_owned());
            prefix(name).filter(|prefix| prefix != "RUST" && !OTHER_PROGRAMS.contains(&name)).is_some_and(|wanted| {
                self.shown.iter().any(|shown| prefix(shown.name).is_some_and(|prefix| prefix == wanted))
            })
        };
        let variables = self.environment.0.keys().filter_map(|name| name.to_str());
        let unknown: Vec<String> =
            variables.filter(|name| has_a_settings_prefix(name) && !is_known(name)).map(str::to_owned).collect();
        for name in unknown {
            self.warning(&name, "is not a setting, but has the prefix of one");
        }
        for (key, message) in problems {
            self.problem(&key, message);
        }
        let secret_files = self.secrets.into_iter().filter_map(|secret| Some((secret.name, secret.file?))).collect();
        Read { shown: self.shown, problems: self.problems, warnings: self.warnings, secret_files }
    }

    /// The environment takes precedence over the file. Empty counts as not set, because container tools write it so.
    fn find(&mut self, name: &str) -> Option<(String, Origin)> {
        match self.environment.text(name) {
            Ok(None) => {}
            Ok(Some(text)) => return Some((text.to_owned(), Origin::Environment)),
            Err(fault) => {
                self.problem(name, fault);
                return None;
            }
        }
        let key = name.to_ascii_lowercase();
        let text = match self.file.get(&key)? {
            toml::Value::String(text) => text.clone(),
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(value) => value.to_string(),
            _ => {
                self.problem(&key, "must be a string, a whole number or a boolean");
                return None;
            }
        };
        match clean(text.as_bytes()) {
            Ok(text) => text.map(|text| (text.to_owned(), Origin::File)),
            Err(fault) => {
                self.problem(name, fault);
                None
            }
        }
    }
}

/// The result of reading.
pub(super) struct Read {
    pub(super) shown: Vec<Shown>,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
    pub(super) secret_files: Vec<(&'static str, PathBuf)>,
}

/// Reports only the line number: the parser's message quotes the line, which may contain a secret.
fn parse_toml(bytes: &[u8]) -> Result<toml::Table, String> {
    let text = str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].split(|byte| *byte == b'\n').count();
        format!("line {line} is not UTF-8 text")
    })?;
    text.parse::<toml::Table>().map_err(|error| {
        let line = error.span().map_or(0, |span| text[..span.start].lines().count().max(1));
        format!("line {line} is not valid TOML")
    })
}
