//! What an assessment means for the person who waits.
//!
//! Pure: a table of what the operator set and what came back (docs/api-design.md#fraud-check). Review never stops anyone: nobody
//! waits at the other end to look at it within a request.

use super::{Assessment, FraudError, FraudState};

/// Whether a verdict has consequences.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FraudMode {
    /// Record the verdict and go on.
    #[default]
    Observe,
    /// A declined device is refused.
    Enforce,
}

/// What happens when there is no verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// Go on: an outage of the fraud check must not lock everybody out.
    #[default]
    Allow,
    /// Refuse: no verdict, no device.
    Deny,
}

/// What the operator set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FraudPolicy {
    /// Whether a verdict has consequences.
    pub mode: FraudMode,
    /// What happens when there is no verdict.
    pub on_error: OnError,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Go on.
    Allow,
    /// Refuse with 403 `unauthorized_action`.
    Deny,
}

impl Decision {
    /// The word in the database and in logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

impl FraudPolicy {
    /// Decides.
    ///
    /// `on_error` is read in both modes: an operator who denies without a verdict means it.
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
    fn the_default_lets_everybody_through() {
        let policy = FraudPolicy::default();
        assert_eq!(policy.decide(&Ok(assessed(FraudState::Decline))), Decision::Allow);
        assert_eq!(policy.decide(&Err(FraudError::Unreadable)), Decision::Allow);
    }
}
