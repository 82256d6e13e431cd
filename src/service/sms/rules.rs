//! The rules for sending a code: served countries and rate limits, with the metrics and log lines of refusals.

use crate::domain::numbers::MobileNumber;
use crate::domain::sms::enforcement::Enforcement;
use crate::domain::sms::limits::{SmsSpend, SmsUse};
use crate::service::{Refusal, Service};

impl Service {
    /// Whether codes may be sent to the number's country. Checked before each code: the operator may have removed the
    /// country since the number was stored.
    pub(in crate::service) fn admit_for_sms(&self, number: &MobileNumber) -> Result<(), Refusal> {
        let admitted = self.policy.sms_countries.admit(number);
        Ok(admitted.inspect_err(|_| count_refusal("country", Enforcement::Enforce))?)
    }

    /// The message to count; `None` when limits are off.
    pub(in crate::service) fn may_send(&self, used: &SmsUse) -> Result<Option<SmsSpend>, Refusal> {
        let (now, limits) = (self.clock.now(), &self.policy.sms_limits);
        let mut spend = limits.spend(used, now);
        match self.policy.sms_enforcement {
            Enforcement::Off => return Ok(None),
            // Count the message even if the partner's rate is exceeded.
            Enforcement::DryRun => spend.horizon = i64::MAX,
            Enforcement::Enforce => {}
        }
        match limits.reached(used, now) {
            Some(reached) if self.refuses_sms(reached.limit) => {
                Err(Refusal::SmsLimit { retry_after: reached.retry_after_seconds() })
            }
            _ => Ok(Some(spend)),
        }
    }

    /// Whether a message over a limit is refused. With dry-run it is sent, and logged.
    pub(in crate::service) fn refuses_sms(&self, reason: &'static str) -> bool {
        let enforcement = self.policy.sms_enforcement;
        if enforcement == Enforcement::Off {
            return false;
        }
        count_refusal(reason, enforcement);
        if enforcement == Enforcement::DryRun {
            tracing::info!(reason, "SMS sent over a limit, dry-run");
        }
        enforcement == Enforcement::Enforce
    }
}

fn count_refusal(reason: &'static str, enforcement: Enforcement) {
    metrics::counter!("sms_refused_total", "reason" => reason, "limits" => enforcement.as_str()).increment(1);
}
