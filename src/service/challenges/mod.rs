//! Challenges: a code is sent, and something is proved with it. The flows are written once; each kind adds to them what is
//! its own.

pub(in crate::service) mod answer;
mod binding;
mod number;
mod one_time_codes;
mod send_code;

pub use binding::{BindDevice, BindingAnswer, Challenge};
pub use one_time_codes::OneTimeCodes;

use crate::domain::challenges::{ChallengeKind, ChallengeRules};
use crate::service::Policy;

impl Policy {
    /// What challenges of a kind are judged by.
    fn challenge_rules(&self, kind: ChallengeKind) -> ChallengeRules {
        match kind {
            ChallengeKind::Binding | ChallengeKind::Number => {
                ChallengeRules { wrong_answers_cap: i64::from(self.wrong_signatures_cap), budget: self.failure_budget }
            }
        }
    }
}
