//! What is wrong with a request, in the words that its sender needs.

use std::borrow::Cow;

/// The kind of a fault: it decides the `code` of the error (docs/api-design.md#errors).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The body is not JSON, or not an object.
    NotJson,
    /// A field has the wrong JSON type.
    Type,
    /// A field is missing, out of bounds, or not what it should be.
    Value,
}

/// One fault of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Invalid {
    /// The field, as a dotted path; `None` when the fault is the whole body's.
    pub field: Option<Cow<'static, str>>,
    /// Its kind.
    pub fault: Fault,
    /// What to do about it. Never repeats the value.
    pub message: String,
}

impl Invalid {
    /// A field with a value that cannot be.
    pub fn value(field: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { field: Some(field.into()), fault: Fault::Value, message: message.into() }
    }

    /// A field with a value of the wrong JSON type.
    pub fn wrong_type(field: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { field: Some(field.into()), fault: Fault::Type, message: message.into() }
    }

    /// A body that cannot be read at all.
    pub fn body(message: impl Into<String>) -> Self {
        Self { field: None, fault: Fault::NotJson, message: message.into() }
    }
}

/// Every fault of one request, in the order of the documented fields.
pub type Faults = Vec<Invalid>;
