//! Runs the fraud check and turns its result into a fraud assessment.

use tracing::field::display;
use uuid::Uuid;

use crate::domain::devices::device_data::DeviceData;
use crate::domain::fraud::FraudAssessment;
use crate::domain::id::uuid_v7;
use crate::domain::person::PersonId;
use crate::fraud::policy::Decision;
use crate::fraud::{FraudAction, FraudQuery};
use crate::service::Service;
use crate::service::audit::scope::AuditScope;

/// The input of a fraud check.
pub(super) struct ToAssess<'a> {
    pub(super) action: FraudAction,
    pub(super) person: &'a PersonId,
    /// The device or pending device, or the SMS challenge.
    pub(super) object: Uuid,
    pub(super) device_data: &'a DeviceData,
}

impl Service {
    /// Whether the fraud check allows the attempt. Runs once per attempt, also when the attempt is retried.
    pub(super) async fn passes(&self, question: Option<ToAssess<'_>>, attempt: &mut AuditScope<'_>) -> bool {
        let assessment = attempt.assessment();
        if assessment.is_none()
            && let Some(question) = question
        {
            *assessment = self.assess(question).await;
        }
        assessment.as_ref().is_none_or(|assessment| assessment.allowed)
    }

    /// `None` when nothing was assessed: no provider is configured, or it does not support this payload.
    async fn assess(&self, question: ToAssess<'_>) -> Option<FraudAssessment> {
        let ToAssess { action, person, object, device_data } = question;
        let device_data = device_data.expose();
        let assessed_at = self.clock.now();
        let id = uuid_v7(assessed_at, self.entropy.bytes());
        let query = FraudQuery { action, person_id: person.as_str(), transaction_id: id, device_data };
        let judgement = self.fraud.judge(&query).await?;
        let state = judgement.state();
        let allowed = judgement.decision == Decision::Allow;
        let (device, challenge) = match action {
            FraudAction::SmsChallenge => (None, Some(display(object))),
            _ => (Some(display(object)), None),
        };
        let action = action.as_str();
        tracing::info!(target: "audit", { fraud.action = action, fraud.state = state, device.id = device, challenge.id = challenge, allowed }, "device assessed");
        let assessment = judgement.outcome.ok();
        Some(FraudAssessment {
            id,
            person_id: person.clone(),
            object_id: object,
            action,
            state,
            score: assessment.as_ref().and_then(|assessment| assessment.score),
            provider_id: assessment.and_then(|assessment| assessment.provider_id),
            latency_ms: i64::try_from(judgement.latency.as_millis()).unwrap_or(i64::MAX),
            allowed,
            assessed_at,
        })
    }
}
