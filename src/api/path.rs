//! Ids in paths. Whatever is not an id is simply not found (contract section 1), so nothing here can fail.

use std::collections::HashMap;
use std::convert::Infallible;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

/// The longest id that an error repeats: the rest of an absurd one is cut off, and control characters are left out.
const SHOWN_MAX: usize = 64;

/// The variable parts of a path, percent-decoded.
pub(crate) struct PathIds(HashMap<String, String>);

impl PathIds {
    /// One part, as the caller wrote it.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// One part for an error text.
    pub(crate) fn shown(&self, name: &str) -> String {
        self.text(name).chars().filter(|c| !c.is_control()).take(SHOWN_MAX).collect()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PathIds {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        // A part that is not UTF-8 once decoded names nothing.
        let ids = Path::<HashMap<String, String>>::from_request_parts(parts, state).await;
        Ok(Self(ids.map(|Path(ids)| ids).unwrap_or_default()))
    }
}
