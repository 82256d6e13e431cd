//! The result of one check of an installation, for `device-management doctor` and for the start of the service.
//!
//! A finding contains no secret: no password, no stored value, and of a URL only scheme, host and port.

use std::borrow::Cow;

use chrono::TimeDelta;
use serde::Serialize;

/// The age of a secret above which it should be rotated.
pub const SECRET_AGE_MAX: TimeDelta = TimeDelta::days(365);

/// The verdict of a check.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Ok,
    /// The service works, but an operator should look at it.
    Warning,
    /// The service does not start, or requests fail.
    Failure,
    /// Not checked, for the reason that was found.
    Skipped,
}

impl Status {
    /// The word in both forms of output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failure => "failure",
            Self::Skipped => "skipped",
        }
    }
}

/// The result of a check.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// The id of the check, which is stable.
    pub id: Cow<'static, str>,
    /// The verdict.
    pub status: Status,
    /// A sentence without a capital letter and full stop.
    pub found: String,
    /// The remedy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Finding {
    /// As it should be.
    #[must_use]
    pub fn ok(id: impl Into<Cow<'static, str>>, found: impl Into<String>) -> Self {
        Self { id: id.into(), status: Status::Ok, found: found.into(), remedy: None }
    }

    /// Works, but has to be looked at.
    #[must_use]
    pub fn warning(id: impl Into<Cow<'static, str>>, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { id: id.into(), status: Status::Warning, found: found.into(), remedy: Some(remedy.into()) }
    }

    /// Does not work.
    #[must_use]
    pub fn failure(id: impl Into<Cow<'static, str>>, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { id: id.into(), status: Status::Failure, found: found.into(), remedy: Some(remedy.into()) }
    }

    /// Not checked.
    #[must_use]
    pub fn skipped(id: impl Into<Cow<'static, str>>, reason: impl Into<String>) -> Self {
        Self { id: id.into(), status: Status::Skipped, found: reason.into(), remedy: None }
    }

    /// Finding and remedy as one text.
    #[must_use]
    pub fn text(&self) -> String {
        match &self.remedy {
            Some(remedy) => format!("{}: {remedy}", self.found),
            None => self.found.clone(),
        }
    }
}

/// Adds a skipped finding for each id that has none.
pub fn skip_missing(findings: &mut Vec<Finding>, ids: &[&'static str], reason: &str) {
    for id in ids {
        if !findings.iter().any(|finding| finding.id == *id) {
            findings.push(Finding::skipped(*id, reason));
        }
    }
}

/// A number of days, hours or minutes, in whole units.
#[must_use]
pub fn age(span: TimeDelta) -> String {
    match (span.num_days(), span.num_hours(), span.num_minutes()) {
        (days @ 2.., ..) => format!("{days} days"),
        (_, hours @ 2.., _) => format!("{hours} hours"),
        (_, _, minutes @ 2..) => format!("{minutes} minutes"),
        _ => format!("{} seconds", span.num_seconds().max(0)),
    }
}
