//! Asks the fraud check and turns its answer into a record.

use super::Service;
use crate::domain::devices::device_data::DeviceData;
use crate::domain::fraud::FraudRecord;
use crate::domain::id::{DeviceId, uuid_v7};
use crate::domain::person::PersonId;
use crate::fraud::policy::Decision;
use crate::fraud::{FraudAction, FraudQuery};

impl Service {
    /// Assesses the device. `None` when nothing was assessed: there is no payload, no provider, or nothing it understands.
    pub(super) async fn assess(
        &self,
        action: FraudAction,
        person: &PersonId,
        device: DeviceId,
        device_data: Option<&DeviceData>,
    ) -> Option<FraudRecord> {
        let device_data = device_data?.expose();
        let assessed_at = self.clock.now();
        let id = uuid_v7(assessed_at, self.entropy.bytes());
        let query = FraudQuery { action, person_id: person.as_str(), transaction_id: id, device_data };
        let judgement = self.fraud.judge(&query).await?;
        let state = judgement.state();
        let allowed = judgement.decision == Decision::Allow;
        let action = action.as_str();
        tracing::info!(target: "audit", { fraud.action = action, fraud.state = state, device.id = %device, allowed }, "device assessed");
        let assessment = judgement.outcome.ok();
        Some(FraudRecord {
            id,
            person_id: person.clone(),
            device_id: device,
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
