//! Whether a code may be sent now: the limits per number, person and partner.

use super::Service;
use crate::domain::enforcement::Enforcement;
use crate::domain::mobile_number::MobileNumber;
use crate::domain::person::PersonId;
use crate::domain::sms_limits::{SmsSpend, SmsUse};

/// A code that may not be sent now.
#[derive(Clone, Copy, Debug)]
pub(super) struct SmsRefused {
    /// For how long to wait, in seconds.
    pub(super) retry_after: u64,
}

impl Service {
    /// What sending a code costs; `None` when nothing is counted.
    pub(super) fn may_send(
        &self,
        used: &SmsUse,
        number: &MobileNumber,
        person: &PersonId,
    ) -> Result<Option<SmsSpend>, SmsRefused> {
        let enforcement = self.policy.sms_enforcement;
        if enforcement == Enforcement::Off {
            return Ok(None);
        }
        let now = self.clock.now();
        let mut spend = self.policy.sms_limits.spend(used, number, person, now);
        if enforcement == Enforcement::DryRun {
            spend.horizon = i64::MAX;
        }
        let Some(reached) = self.policy.sms_limits.reached(used, now) else { return Ok(Some(spend)) };
        let (limit, mode) = (reached.limit, enforcement.as_str());
        metrics::counter!("sms_refused_total", "reason" => limit, "mode" => mode).increment(1);
        tracing::info!(target: "audit", { sms.limit = limit, mode }, "SMS limit reached");
        match enforcement {
            Enforcement::Enforce => Err(SmsRefused { retry_after: whole_seconds(reached.wait) }),
            Enforcement::DryRun | Enforcement::Off => Ok(Some(spend)),
        }
    }
}

/// Rounded up, at least one.
fn whole_seconds(wait: chrono::TimeDelta) -> u64 {
    u64::try_from(wait.num_milliseconds().max(1)).unwrap_or(1).div_ceil(1000)
}
