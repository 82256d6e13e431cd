//! Reads a JSON object field by field and collects all faults (docs/api-design.md#conventions and #errors).
//!
//! `null` means absent, unknown fields are ignored, and leading or trailing white space is a fault. No fault quotes the
//! value.

use serde_json::{Map, Value};

use crate::domain::invalid::{Faults, Invalid};

/// The fields of one object of a body.
pub(crate) struct Fields {
    values: Map<String, Value>,
    faults: Faults,
}

/// The parsed text of a field. The error states the expected form.
pub(crate) type Parsed<T> = Result<T, String>;

impl Fields {
    pub(crate) fn new(values: Map<String, Value>) -> Self {
        Self { values, faults: Vec::new() }
    }

    /// Parses a body.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Faults> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(values)) => Ok(Self::new(values)),
            Ok(_) => Err(vec![Invalid::body("the body must be a JSON object")]),
            Err(error) => {
                let (line, column) = (error.line(), error.column());
                Err(vec![Invalid::body(format!("the body is not valid JSON (line {line}, column {column})"))])
            }
        }
    }

    /// A required string.
    pub(crate) fn required<T>(&mut self, path: &'static str, parse: impl FnOnce(&str) -> Parsed<T>) -> Option<T> {
        if self.is_absent(path) {
            self.faults.push(Invalid::value(path, "is required"));
            return None;
        }
        self.optional(path, parse)
    }

    /// An optional string.
    pub(crate) fn optional<T>(&mut self, path: &'static str, parse: impl FnOnce(&str) -> Parsed<T>) -> Option<T> {
        let text = self.text(path)?;
        let parsed = if text.starts_with(is_white_space) || text.ends_with(is_white_space) {
            Err("must not begin or end with white space".to_owned())
        } else {
            parse(&text)
        };
        self.keep(path, parsed)
    }

    /// An optional string whose leading and trailing white space is kept.
    pub(crate) fn optional_opaque<T>(
        &mut self,
        path: &'static str,
        parse: impl FnOnce(String) -> Parsed<T>,
    ) -> Option<T> {
        let text = self.text(path)?;
        let parsed = parse(text);
        self.keep(path, parsed)
    }

    /// An optional boolean.
    pub(crate) fn optional_bool(&mut self, path: &'static str) -> Option<bool> {
        match self.take(path)? {
            Value::Bool(value) => Some(value),
            other => self.mistyped(path, "a boolean", &other),
        }
    }

    /// A required object; `read` gets its fields.
    pub(crate) fn required_object<T>(
        &mut self,
        path: &'static str,
        read: impl FnOnce(&mut Fields) -> Option<T>,
    ) -> Option<T> {
        if self.is_absent(path) {
            self.faults.push(Invalid::value(path, "is required"));
            return None;
        }
        self.optional_object(path, read)
    }

    /// An optional object; `read` gets its fields. Its faults are inserted in the order of the fields.
    pub(crate) fn optional_object<T>(
        &mut self,
        path: &'static str,
        read: impl FnOnce(&mut Fields) -> Option<T>,
    ) -> Option<T> {
        let mut inner = match self.take(path)? {
            Value::Object(values) => Self::new(values),
            other => return self.mistyped(path, "an object", &other),
        };
        let value = read(&mut inner);
        self.faults.append(&mut inner.faults);
        value
    }

    /// The value, unless any field has a fault.
    pub(crate) fn finish<T>(self, value: Option<T>) -> Result<T, Faults> {
        match value {
            Some(value) if self.faults.is_empty() => Ok(value),
            _ => Err(self.faults),
        }
    }

    fn text(&mut self, path: &'static str) -> Option<String> {
        match self.take(path)? {
            Value::String(text) => Some(text),
            other => self.mistyped(path, "a string", &other),
        }
    }

    fn take(&mut self, path: &'static str) -> Option<Value> {
        self.values.remove(name(path)).filter(|value| !value.is_null())
    }

    fn is_absent(&self, path: &'static str) -> bool {
        self.values.get(name(path)).is_none_or(Value::is_null)
    }

    fn keep<T>(&mut self, path: &'static str, parsed: Parsed<T>) -> Option<T> {
        parsed.map_err(|message| self.faults.push(Invalid::value(path, message))).ok()
    }

    fn mistyped<T>(&mut self, path: &'static str, wanted: &str, found: &Value) -> Option<T> {
        let found = match found {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "an array",
            Value::Object(_) => "an object",
        };
        self.faults.push(Invalid::wrong_type(path, format!("must be {wanted}, not {found}")));
        None
    }
}

/// Unicode white space and the byte order mark, like `\s` in the patterns of openapi.yaml (ECMA-262 section 12.2).
fn is_white_space(c: char) -> bool {
    c.is_whitespace() || c == '\u{feff}'
}

/// The last part of a dotted path.
fn name(path: &'static str) -> &'static str {
    path.rsplit('.').next().unwrap_or(path)
}

/// The error message for a length out of bounds.
pub(crate) fn out_of_bounds(length: usize, max: usize) -> String {
    format!("length ({length}) out of bounds (min: 1, max: {max})")
}

/// Checks for 1 to `max` characters.
pub(crate) fn within_bounds(text: &str, max: usize) -> Parsed<()> {
    match text.chars().count() {
        length if (1..=max).contains(&length) => Ok(()),
        length => Err(out_of_bounds(length, max)),
    }
}

/// One of a few values.
pub(crate) fn one_of<T>(parse: impl FnOnce(&str) -> Option<T>, names: &str) -> impl FnOnce(&str) -> Parsed<T> {
    move |text| parse(text).ok_or_else(|| format!("must be one of: {names}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(json: &str) -> Fields {
        Fields::parse(json.as_bytes()).unwrap_or_else(|faults| panic!("{faults:?}"))
    }

    #[test]
    fn all_faults_are_returned_in_the_order_of_the_fields() {
        let mut fields = fields(r#"{"b": 1, "c": " x", "d": null}"#);
        let a = fields.required("a", |text| Ok(text.to_owned()));
        fields.optional("b", |_| Ok(()));
        fields.optional("c", |_| Ok(()));
        fields.optional("d", |_| Ok(()));
        let faults = fields.finish(a).unwrap_err();
        let shown: Vec<_> = faults.iter().map(|fault| (fault.field.as_deref().unwrap(), &*fault.message)).collect();
        assert_eq!(
            shown,
            [
                ("a", "is required"),
                ("b", "must be a string, not a number"),
                ("c", "must not begin or end with white space"),
            ]
        );
    }

    #[test]
    fn a_body_that_is_not_an_object_is_one_fault() {
        for body in ["", "[]", "1", "{", "{} x", "\u{feff}{}", "nul"] {
            assert_eq!(Fields::parse(body.as_bytes()).err().expect("a fault").len(), 1, "{body:?}");
        }
    }
}
