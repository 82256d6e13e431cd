//! Runs a fraud check, records its metrics and applies the policy.
//!
//! The result contains everything to be stored, and nothing of the payload. The caller stores it and refuses the
//! request.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::fraud::policy::{Decision, FraudPolicy};
use crate::fraud::{Assessment, FraudCheck, FraudError, FraudQuery};

/// A fraud check with its policy.
#[derive(Clone)]
pub struct FraudChecker {
    check: Arc<dyn FraudCheck>,
    policy: FraudPolicy,
}

/// The result of one fraud check.
#[derive(Debug)]
pub struct Judgement {
    /// The provider's assessment, or why there is none.
    pub outcome: Result<Assessment, FraudError>,
    /// Latency of the provider.
    pub latency: Duration,
    /// The decision of the policy.
    pub decision: Decision,
}

impl Judgement {
    /// The outcome as one word: a state such as `review`, or an error such as `timeout`.
    #[must_use]
    pub fn state(&self) -> &'static str {
        match &self.outcome {
            Ok(assessment) => assessment.state.as_str(),
            Err(error) => error.as_str(),
        }
    }
}

impl FraudChecker {
    /// Applies `policy` to the results of `check`.
    #[must_use]
    pub fn new(check: Arc<dyn FraudCheck>, policy: FraudPolicy) -> Self {
        Self { check, policy }
    }

    /// Assesses the device; `None` when there was nothing to assess, which allows the request.
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
