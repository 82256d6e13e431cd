//! Validation errors of a request.

use std::borrow::Cow;

/// The kind of a fault. It decides the `code` of the error (docs/api-design.md#errors).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The body is not JSON, or not an object.
    NotJson,
    /// A field has the wrong JSON type.
    Type,
    /// A field is missing, out of bounds or invalid.
    Value,
}

/// One fault of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Invalid {
    /// The field as a dotted path; `None` for the whole body.
    pub field: Option<Cow<'static, str>>,
    /// Its kind.
    pub fault: Fault,
    /// How to correct it. Never contains the value.
    pub message: String,
}

impl Invalid {
    /// A field with an invalid value.
    pub fn value(field: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { field: Some(field.into()), fault: Fault::Value, message: message.into() }
    }

    /// A field with a value of the wrong JSON type.
    pub fn wrong_type(field: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { field: Some(field.into()), fault: Fault::Type, message: message.into() }
    }

    /// A body that cannot be parsed.
    pub fn body(message: impl Into<String>) -> Self {
        Self { field: None, fault: Fault::NotJson, message: message.into() }
    }
}

/// All faults of one request, in the order of the documented fields.
pub type Faults = Vec<Invalid>;
