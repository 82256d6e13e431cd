//! Whether a code may be sent to a number at all, and what is told of those that may not.

use crate::domain::numbers::MobileNumber;
use crate::domain::sms::enforcement::Enforcement;
use crate::domain::sms::limits::{SmsSpend, SmsUse};
use crate::service::{Refusal, Service};

impl Service {
    /// Whether codes may go to the number's country. Asked again before each code: the operator may have narrowed the list
    /// since the number was given.
    pub(in crate::service) fn admit_for_sms(&self, number: &MobileNumber) -> Result<(), Refusal> {
        let admitted = self.policy.sms_countries.admit(number);
        Ok(admitted.inspect_err(|_| count_refusal("country", Enforcement::Enforce))?)
    }

    /// What sending a code costs; `None` when nothing is counted.
    pub(in crate::service) fn may_send(&self, used: &SmsUse) -> Result<Option<SmsSpend>, Refusal> {
        let (now, limits) = (self.clock.now(), &self.policy.sms_limits);
        let mut spend = limits.spend(used, now);
        match self.policy.sms_enforcement {
            Enforcement::Off => return Ok(None),
            // Whatever the partner's rate is by then.
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

    /// Whether a message that a limit speaks against is refused. A limit that is only watched lets it go, and says so.
    pub(in crate::service) fn refuses_sms(&self, reason: &'static str) -> bool {
        let enforcement = self.policy.sms_enforcement;
        if enforcement == Enforcement::Off {
            return false;
        }
        count_refusal(reason, enforcement);
        if enforcement == Enforcement::DryRun {
            tracing::info!(reason, "an SMS is sent that would be refused");
        }
        enforcement == Enforcement::Enforce
    }
}

fn count_refusal(reason: &'static str, enforcement: Enforcement) {
    metrics::counter!("sms_refused_total", "reason" => reason, "limits" => enforcement.as_str()).increment(1);
}
