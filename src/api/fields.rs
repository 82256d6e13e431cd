//! Reads a JSON object field by field and collects all faults (docs/api-design.md#conventions and #errors).
//!
//! `null` means absent, unknown fields are ignored, and leading or trailing white space is a fault. No fault quotes the
//! value.

use std::fmt::Display;
use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use crate::crypto::Form;
use crate::domain::invalid::{Faults, Invalid};

/// The fields of one object of a body.
pub(crate) struct Fields {
    /// Where the object stands in the body: empty, or a path that ends in a dot.
    within: String,
    values: Map<String, Value>,
    faults: Faults,
}

/// The parsed text of a field. The error states the expected form.
pub(crate) type Parsed<T> = Result<T, String>;

impl Fields {
    fn new(within: String, values: Map<String, Value>) -> Self {
        Self { within, values, faults: Vec::new() }
    }

    /// Parses a body.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Faults> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(values)) => Ok(Self::new(String::new(), values)),
            Ok(_) => Err(vec![Invalid::body("the body must be a JSON object")]),
            Err(error) => {
                let (line, column) = (error.line(), error.column());
                Err(vec![Invalid::body(format!("the body is not valid JSON (line {line}, column {column})"))])
            }
        }
    }

    /// A required string.
    pub(crate) fn required<T>(&mut self, name: &'static str, parse: impl FnOnce(&str) -> Parsed<T>) -> Option<T> {
        if self.is_absent(name) {
            self.faults.push(Invalid::value(self.path(name), "is required"));
            return None;
        }
        self.optional(name, parse)
    }

    /// An optional string.
    pub(crate) fn optional<T>(&mut self, name: &'static str, parse: impl FnOnce(&str) -> Parsed<T>) -> Option<T> {
        let text = self.text(name)?;
        let parsed = if text.starts_with(is_white_space) || text.ends_with(is_white_space) {
            Err("must not begin or end with white space".to_owned())
        } else {
            parse(&text)
        };
        self.keep(name, parsed)
    }

    /// An optional string whose leading and trailing white space is kept.
    pub(crate) fn optional_opaque<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(String) -> Parsed<T>,
    ) -> Option<T> {
        let text = self.text(name)?;
        let parsed = parse(text);
        self.keep(name, parsed)
    }

    /// An optional boolean.
    pub(crate) fn optional_bool(&mut self, name: &'static str) -> Option<bool> {
        match self.take(name)? {
            Value::Bool(value) => Some(value),
            other => self.mistyped(name, "a boolean", &other),
        }
    }

    /// A required whole number within `bounds`.
    pub(crate) fn required_whole(&mut self, name: &'static str, bounds: RangeInclusive<i64>) -> Option<i64> {
        let value = match self.take(name) {
            None => Err("is required".to_owned()),
            // 1.0 is a whole number too (JSON Schema 2020-12, core, section 4.2.1).
            Some(Value::Number(number)) => {
                let whole = number.as_i64().or_else(|| number.to_string().strip_suffix(".0")?.parse().ok());
                let (min, max) = (bounds.start(), bounds.end());
                let value = whole.filter(|value| bounds.contains(value));
                value.ok_or_else(|| format!("must be a whole number from {min} to {max}"))
            }
            Some(other) => return self.mistyped(name, "a number", &other),
        };
        self.keep(name, value)
    }

    /// A required object; `read` gets its fields.
    pub(crate) fn required_object<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Fields) -> Option<T>,
    ) -> Option<T> {
        if self.is_absent(name) {
            self.faults.push(Invalid::value(self.path(name), "is required"));
            return None;
        }
        self.optional_object(name, read)
    }

    /// An optional object; `read` gets its fields. Its faults are inserted in the order of the fields.
    pub(crate) fn optional_object<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Fields) -> Option<T>,
    ) -> Option<T> {
        let mut inner = match self.take(name)? {
            Value::Object(values) => Self::new(format!("{}.", self.path(name)), values),
            other => return self.mistyped(name, "an object", &other),
        };
        let value = read(&mut inner);
        self.faults.append(&mut inner.faults);
        value
    }

    /// An optional array of at most `max` objects; `read` gets the fields of one. Absent and empty are the same.
    pub(crate) fn optional_array<T>(
        &mut self,
        name: &'static str,
        max: usize,
        mut read: impl FnMut(&mut Fields) -> Option<T>,
    ) -> Option<Vec<T>> {
        let elements = match self.take(name) {
            None => return Some(Vec::new()),
            Some(Value::Array(elements)) => elements,
            Some(other) => return self.mistyped(name, "an array", &other),
        };
        if elements.len() > max {
            let message = format!("must have at most {max} elements, not {}", elements.len());
            return self.keep(name, Err(message));
        }
        let mut values = Vec::with_capacity(elements.len());
        for (place, element) in elements.into_iter().enumerate() {
            let path = format!("{name}[{place}]");
            let value = match element {
                Value::Object(fields) => {
                    let mut inner = Self::new(format!("{}.", self.path(&path)), fields);
                    let value = read(&mut inner);
                    self.faults.append(&mut inner.faults);
                    value
                }
                other => self.mistyped(&path, "an object", &other),
            };
            values.push(value);
        }
        values.into_iter().collect()
    }

    /// Whether a field is present.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(|value| !value.is_null())
    }

    /// Adds a fault that no single field shows alone, unless the field already has a fault.
    pub(crate) fn fault(&mut self, name: &str, message: impl Into<String>) {
        let path = self.path(name);
        let has_fault = self.faults.iter().filter_map(|fault| fault.field.as_deref()).any(|field| {
            field.strip_prefix(&*path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        });
        if !has_fault {
            self.faults.push(Invalid::value(path, message));
        }
    }

    /// The value, unless any field has a fault.
    pub(crate) fn finish<T>(self, value: Option<T>) -> Result<T, Faults> {
        match value {
            Some(value) if self.faults.is_empty() => Ok(value),
            _ => Err(self.faults),
        }
    }

    fn text(&mut self, name: &'static str) -> Option<String> {
        match self.take(name)? {
            Value::String(text) => Some(text),
            other => self.mistyped(name, "a string", &other),
        }
    }

    fn take(&mut self, name: &'static str) -> Option<Value> {
        self.values.remove(name).filter(|value| !value.is_null())
    }

    fn is_absent(&self, name: &'static str) -> bool {
        !self.has(name)
    }

    fn keep<T>(&mut self, name: &'static str, parsed: Parsed<T>) -> Option<T> {
        let path = self.path(name);
        parsed.map_err(|message| self.faults.push(Invalid::value(path, message))).ok()
    }

    fn path(&self, name: &str) -> String {
        format!("{}{name}", self.within)
    }

    fn mistyped<T>(&mut self, name: &str, wanted: &str, found: &Value) -> Option<T> {
        let found = match found {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "an array",
            Value::Object(_) => "an object",
        };
        let path = self.path(name);
        self.faults.push(Invalid::wrong_type(path, format!("must be {wanted}, not {found}")));
        None
    }
}

/// Unicode white space and the byte order mark, like `\s` in the patterns of openapi.yaml (ECMA-262 section 12.2).
fn is_white_space(c: char) -> bool {
    c.is_whitespace() || c == '\u{feff}'
}

/// The error message for a length out of bounds.
pub(crate) fn out_of_bounds(length: usize, max: usize) -> String {
    format!("length ({length}) out of bounds (min: 1, max: {max})")
}

/// The error message for a key or signature, with the form that the text looks like. Neither has a part of the text.
pub(crate) fn with_form(fault: &impl Display, form: Option<Form>) -> String {
    match form {
        Some(form) => format!("{fault}; this looks like {form}"),
        None => fault.to_string(),
    }
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
