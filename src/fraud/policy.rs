//! The policy that turns an assessment into a decision (docs/api-design.md#fraud-check). No I/O.
//!
//! `review` always allows the request, because a manual review cannot happen within a request.

use super::{Assessment, FraudError, FraudState};

/// Whether a verdict is enforced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FraudMode {
    /// Record the verdict and allow the request.
    #[default]
    Observe,
    /// A declined device is refused.
    Enforce,
}

/// The decision when there is no verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// Allow: an outage of the fraud check does not block requests.
    #[default]
    Allow,
    /// Refuse.
    Deny,
}

/// The operator's settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FraudPolicy {
    /// Whether a verdict is enforced.
    pub mode: FraudMode,
    /// The decision when there is no verdict.
    pub on_error: OnError,
}

/// The decision on a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Proceed.
    Allow,
    /// Refuse with 403 `unauthorized_action`.
    Deny,
}

impl Decision {
    /// The name in the database and in logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

impl FraudPolicy {
    /// The decision on this outcome. `on_error` applies in both modes.
    #[must_use]
    pub fn decide(self, outcome: &Result<Assessment, FraudError>) -> Decision {
        match (outcome, self.mode, self.on_error) {
            (Ok(Assessment { state: FraudState::Decline, .. }), FraudMode::Enforce, _) | (Err(_), _, OnError::Deny) => {
                Decision::Deny
            }
            (Ok(_), _, _) | (Err(_), _, OnError::Allow) => Decision::Allow,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assessed(state: FraudState) -> Assessment {
        Assessment { state, score: None, provider_id: None }
    }

    fn check(mode: FraudMode, on_error: OnError, outcome: &Result<Assessment, FraudError>, expected: Decision) {
        assert_eq!(FraudPolicy { mode, on_error }.decide(outcome), expected, "{mode:?} {on_error:?} {outcome:?}");
    }

    #[test]
    fn only_an_enforced_decline_refuses_an_assessed_device() {
        for on_error in [OnError::Allow, OnError::Deny] {
            for state in [FraudState::Approve, FraudState::Review, FraudState::Decline] {
                check(FraudMode::Observe, on_error, &Ok(assessed(state)), Decision::Allow);
            }
            check(FraudMode::Enforce, on_error, &Ok(assessed(FraudState::Approve)), Decision::Allow);
            check(FraudMode::Enforce, on_error, &Ok(assessed(FraudState::Review)), Decision::Allow);
            check(FraudMode::Enforce, on_error, &Ok(assessed(FraudState::Decline)), Decision::Deny);
        }
    }

    #[test]
    fn without_an_assessment_the_setting_for_errors_decides() {
        for mode in [FraudMode::Observe, FraudMode::Enforce] {
            check(mode, OnError::Allow, &Err(FraudError::Timeout), Decision::Allow);
            check(mode, OnError::Deny, &Err(FraudError::Timeout), Decision::Deny);
        }
    }

    #[test]
    fn the_default_policy_allows_every_request() {
        let policy = FraudPolicy::default();
        assert_eq!(policy.decide(&Ok(assessed(FraudState::Decline))), Decision::Allow);
        assert_eq!(policy.decide(&Err(FraudError::Unreadable)), Decision::Allow);
    }
}
