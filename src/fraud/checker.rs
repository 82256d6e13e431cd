//! The fraud check as the services use it: ask, measure, decide.
//!
//! What comes out is all there is to record of a check; storing it is the caller's business, and so is refusing the
//! request. Nothing of the payload is in it.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::fraud::policy::{Decision, FraudPolicy};
use crate::fraud::{Assessment, FraudCheck, FraudError, FraudQuery};

/// A fraud check and what follows from it.
#[derive(Clone)]
pub struct FraudChecker {
    check: Arc<dyn FraudCheck>,
    policy: FraudPolicy,
}

/// One check, finished.
#[derive(Debug)]
pub struct Judgement {
    /// What the service thinks, or why it did not say.
    pub outcome: Result<Assessment, FraudError>,
    /// How long that took.
    pub latency: Duration,
    /// What to do.
    pub decision: Decision,
}

impl Judgement {
    /// The outcome in one word: a state such as `review`, or an error such as `timeout`.
    #[must_use]
    pub fn state(&self) -> &'static str {
        match &self.outcome {
            Ok(assessment) => assessment.state.as_str(),
            Err(error) => error.as_str(),
        }
    }
}

impl FraudChecker {
    /// Puts a check under a policy.
    #[must_use]
    pub fn new(check: Arc<dyn FraudCheck>, policy: FraudPolicy) -> Self {
        Self { check, policy }
    }

    /// Judges the device; `None` when there was nothing to assess, which is no reason to stop anyone.
    pub async fn judge(&self, query: &FraudQuery<'_>) -> Option<Judgement> {
        let started = Instant::now();
        let outcome = self.check.assess(query).await.transpose()?;
        let latency = started.elapsed();
        let decision = self.policy.decide(&outcome);
        let judgement = Judgement { outcome, latency, decision };
        let action = query.action.as_str();
        metrics::histogram!("fraud_check_duration_seconds").record(latency);
        metrics::counter!("fraud_checks_total", "action" => action, "state" => judgement.state()).increment(1);
        if let Err(error) = &judgement.outcome {
            let (transaction, decision) = (query.transaction_id, decision.as_str());
            let cause: &(dyn Error + 'static) = error;
            tracing::warn!(fraud.action = action, fraud.transaction = %transaction, fraud.decision = decision, cause, "no fraud assessment");
        }
        Some(judgement)
    }
}
