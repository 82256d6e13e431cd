//! The settings of the fraud check.

use std::time::Duration;

use super::Mode;
use super::parse::{from_words, milliseconds, server};
use super::sms::header_safe;
use super::source::Source;
use crate::fraud::policy::{FraudMode, FraudPolicy, OnError};
use crate::fraud::seon::SeonSettings;

/// The settings of the fraud check.
#[derive(Clone, Debug)]
pub struct FraudSettings {
    /// SEON; `None` without an API key.
    pub seon: Option<SeonSettings>,
    /// The timeout of an assessment.
    pub deadline: Duration,
    /// How an assessment becomes a decision.
    pub policy: FraudPolicy,
}

impl FraudSettings {
    /// The longest time that an assessment may take.
    pub(super) fn wait_max(&self) -> Duration {
        self.seon.as_ref().map_or(Duration::ZERO, |seon| seon.deadline)
    }
}

pub(super) fn settings(s: &mut Source<'_>, mode: Mode) -> FraudSettings {
    let api_key = s.secret("SEON_API_KEY");
    let api_key = api_key.and_then(|key| header_safe(s, "SEON_API_KEY", key));
    let base_url = s.value("SEON_BASE_URL", "https://api.seon.io", server(mode));
    let deadline: Duration = s.value("SEON_TIMEOUT_MS", "2000", milliseconds(100..=10_000));
    // Without SEON, the sandbox assesses only the words that a tester chose.
    let default = if mode == Mode::Sandbox && api_key.is_none() { "enforce" } else { "observe" };
    let policy = FraudPolicy {
        mode: s.value("SEON_POLICY", default, from_words(fraud_mode, "observe or enforce")),
        on_error: s.value("SEON_ON_ERROR", "allow", from_words(on_error, "allow or deny")),
    };
    let needs_key = policy.mode == FraudMode::Enforce || policy.on_error == OnError::Deny;
    if mode == Mode::Production && needs_key && api_key.is_none() && !s.has_problem("SEON_API_KEY") {
        s.problem(
            "SEON_API_KEY",
            "is required by SEON_POLICY=enforce and by SEON_ON_ERROR=deny: without it no device is assessed",
        );
    }
    FraudSettings { seon: api_key.map(|api_key| SeonSettings { base_url, api_key, deadline }), deadline, policy }
}

fn fraud_mode(text: &str) -> Option<FraudMode> {
    match text {
        "observe" => Some(FraudMode::Observe),
        "enforce" => Some(FraudMode::Enforce),
        _ => None,
    }
}

fn on_error(text: &str) -> Option<OnError> {
    match text {
        "allow" => Some(OnError::Allow),
        "deny" => Some(OnError::Deny),
        _ => None,
    }
}
