//! Whether a code may be sent to a number at all, and what is told of those that may not.

use super::Service;
use crate::domain::country::CountryNotServed;
use crate::domain::enforcement::Enforcement;
use crate::domain::mobile_number::MobileNumber;

impl Service {
    /// Whether codes may go to the number's country. Asked again before each code: the operator may have narrowed the list
    /// since the number was given.
    pub(super) fn admit_for_sms(&self, number: &MobileNumber) -> Result<(), CountryNotServed> {
        self.policy.sms_countries.admit(number).inspect_err(|_| count_refusal("country", Enforcement::Enforce))
    }

    /// Whether a message that a limit speaks against is refused. A limit that is only watched lets it go, and says so.
    pub(super) fn refuses_sms(&self, reason: &'static str) -> bool {
        let enforcement = self.policy.sms_limits;
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
